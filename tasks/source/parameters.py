"""The parameters of the tasks from the Hub to a plan; light, for they are read when a DAG is parsed."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tasks.formats.base import Target
from tasks.model import Model
from tasks.recipe import AllowedCode, Commit, Repository

Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$", max_length=255)]
Pickles = Literal["refuse", "convert"]


class PinParameters(Model):
    """A repository and a branch, tag or commit of it, and what the recipe allows.

    licences: identifiers as the Hub spells them; `*` allows any.
    code: repositories and commits whose own Python code may be run.
    pickles: what becomes of a repository that has its weights as pickles only.
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
    """The source that the snapshot was fetched from, and what the recipe allows of it."""

    repository: Repository
    commit: Commit
    code: tuple[AllowedCode, ...] = ()
    pickles: Pickles = "refuse"


class AnalyzeParameters(Model):
    """Analysis has no choices: what it says is in the snapshot."""


class PreflightParameters(Model):
    """What might be made, what was asked for, and what there is to make it with.

    targets: the recipe's targets and their bases, each base before what is made from it.
    chosen: names of the targets asked for; all, where empty.
    memory_bytes, disk_bytes, gpus: what the host that makes them offers.
    dry_run: the release ends with the plan.
    """

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    chosen: tuple[str, ...] = ()
    memory_bytes: Annotated[int, Field(ge=0)]
    disk_bytes: Annotated[int, Field(ge=0)]
    gpus: Annotated[int, Field(ge=0)] = 0
    dry_run: bool = False
