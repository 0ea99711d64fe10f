"""The record of one release. It is in the store, so it does not depend on a server.

releases/<owner>--<name>/<recipe>/<release id>.json    one release (Release)
releases/<owner>--<name>/current.json                  what is champion now, of all recipes (Current)
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import StringConstraints

from tasks.evaluation.measurement import Measurement
from tasks.manifest import Sha256
from tasks.model import Model
from tasks.names import Commit, Repository
from tasks.records import Record
from tasks.store.base import Store

ReleaseId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,249}$")]
"""The run that made the release; an Airflow run id such as `manual__2026-11-23T01:00:00+00:00` fits."""

Outcome = Literal["passed", "blocked", "failed", "skipped"]


class ReleasedTarget(Model):
    """How one target ended.

    outcome: passed all gates; blocked by a gate; failed before its gates; skipped, because the plan left it out.
    reason: one line: the answer of the gates, the failure, or why it was skipped.
    artifact, verdict, evaluation, benchmark: the keys of its documents in the store.
    metrics: everything that was measured, by the names of tasks/evaluation/metrics.py.
    registered_name, version: the MLflow model version that is this artifact, where it passed.
    new: whether this release registered that version; False where an earlier one had the same files.
    """

    target: str
    format: str
    outcome: Outcome
    reason: str
    required: bool = True
    expect_blocked: bool = False
    artifact: Sha256 | None = None
    verdict: Sha256 | None = None
    evaluation: Sha256 | None = None
    benchmark: Sha256 | None = None
    files_digest: Sha256 | None = None
    size_bytes: int | None = None
    metrics: dict[str, Measurement] = {}
    registered_name: str | None = None
    version: str | None = None
    new: bool = False


class Release(Record):
    """One run of one recipe on one source.

    mlflow_run: the MLflow run that shows its numbers and its report.
    unchanged_since: an earlier release with the same files, versions and outcomes; None where something is new. If it
        is set, nothing new was registered, and `mlflow_run` is the run of that release.
    """

    release_id: ReleaseId
    repository: Repository
    commit: Commit
    licence: str
    recipe: str
    created: datetime
    targets: tuple[ReleasedTarget, ...]
    mlflow_run: str | None = None
    unchanged_since: ReleaseId | None = None

    @property
    def name(self) -> str:
        """The record's name in the store."""
        return release_name(self.repository, self.recipe, self.release_id)

    @property
    def passed(self) -> tuple[ReleasedTarget, ...]:
        """The targets that passed and are registered."""
        return tuple(target for target in self.targets if target.outcome == "passed")

    @property
    def shortcomings(self) -> list[str]:
        """One line for each target that did not end as the recipe demands."""
        lines = []
        for target in self.targets:
            if target.expect_blocked and target.outcome not in ("blocked", "skipped"):
                lines.append(f"{target.target} was expected to be blocked, but {target.outcome}: {target.reason}")
            elif target.required and not target.expect_blocked and target.outcome != "passed":
                lines.append(f"{target.target} is required, but {target.outcome}: {target.reason}")
        return lines


def release_folder(repository: str) -> str:
    """Return the store prefix of a repository's releases; ends with a slash."""
    owner, name = repository.split("/")
    return f"releases/{owner}--{name}/"


def release_name(repository: str, recipe: str, release_id: str) -> str:
    """Return the name in the store of one release's record."""
    return f"{release_folder(repository)}{recipe}/{release_id}.json"


def read_release(store: Store, name: str) -> Release:
    """Return the release of that record name; raises NotFound, or Corrupt where it cannot be read."""
    return Release.read(store.get_bytes(name), f"The release record {store.url}/{name}", "restore it from a backup")


def write_release(store: Store, record: Release) -> None:
    """Write a release's record."""
    store.put_bytes(record.name, record.to_json().encode())
