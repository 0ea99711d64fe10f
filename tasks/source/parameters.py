"""The parameters of the tasks from the Hub to an analysis. Light, because they are read when a DAG is parsed."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from tasks.model import Model
from tasks.names import Commit, Repository

Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$", max_length=255)]
Pickles = Literal["refuse", "convert"]


class AllowedCode(Model):
    """A repository, at one commit, that may ship Python files (`auto_map`); the files are never executed."""

    repository: Repository
    commit: Commit


class PinParameters(Model):
    """A repository and a branch, tag or commit of it, and what the recipe allows.

    licences: identifiers as the Hub spells them; `*` allows any.
    code: repositories and commits that may ship Python files; the files are never executed.
    pickles: what to do with a repository whose weights are pickles only.
    """

    repository: Repository
    revision: Revision = "main"
    licences: tuple[str, ...]
    code: tuple[AllowedCode, ...] = ()
    pickles: Pickles = "refuse"


class FetchParameters(Model):
    """The source: a repository at one commit."""

    repository: Repository
    commit: Commit


class ScanParameters(Model):
    """The source from which the snapshot was fetched, and what the recipe allows in it."""

    repository: Repository
    commit: Commit
    code: tuple[AllowedCode, ...] = ()
    pickles: Pickles = "refuse"


class AnalyzeParameters(Model):
    """An analysis has no options."""
