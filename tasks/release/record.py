"""The record of one release. It is in the store, so it does not depend on a server.

releases/<owner>--<name>/<recipe>/<release id>.json    one release (Release)
releases/<owner>--<name>/current.json                  what is champion now, of all recipes (Current)
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import StringConstraints

from tasks.evaluation.measurement import Measurement
from tasks.manifest import Sha256
from tasks.model import Model
from tasks.names import Commit, Repository
from tasks.plan.shared_reasons import causes, list_names
from tasks.records import Record
from tasks.store.base import Store

ReleaseId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,249}$")]
"""The run that made the release; an Airflow run id such as `manual__2026-11-23T01:00:00+00:00` fits."""

Outcome = Literal["passed", "blocked", "failed", "unproven", "skipped"]

Demand = tuple[str, str]
"""What a recipe demands of a target, as a verb for one target and for several."""

REQUIRED: Demand = ("is required", "are required")
EXPECTED: Demand = ("was expected to be blocked", "were expected to be blocked")

Shortcoming = tuple[Demand, str]
"""What was demanded, and what happened."""

PROOF_FIELDS = ("verdict", "evaluation", "benchmark", "metrics")
"""The fields of a target that version 1 had in place of `proofs`."""


class ReleasedProof(Model):
    """How one target ended in one engine and one pool.

    engine: the engine, with its version if it was measured; None if there is none, or an earlier version wrote this.
    pool: the pool; None if there is none, or an earlier version wrote this.
    outcome: passed all gates; blocked by a gate; failed before its gates; unproven, because it could not be
        measured there.
    reason: one line: the answer of the gates, the failure, or why it could not be measured.
    verdict, evaluation, benchmark: the keys of its documents in the store.
    metrics: everything that was measured, by the names of tasks/evaluation/metrics.py.
    disturbed: what disturbed the timings, as in Benchmark, or None.
    """

    engine: str | None = None
    pool: str | None = None
    outcome: Literal["passed", "blocked", "failed", "unproven"]
    reason: str
    verdict: Sha256 | None = None
    evaluation: Sha256 | None = None
    benchmark: Sha256 | None = None
    metrics: dict[str, Measurement] = {}
    disturbed: str | None = None

    @property
    def place(self) -> str:
        """Where it was proven, in words: pool and engine."""
        return ", ".join(name for name in (self.pool, self.engine) if name) or "no pool"


class ReleasedTarget(Model):
    """How one target ended.

    outcome: passed all gates in all proofs; blocked by a gate; failed before its gates; unproven, because it was made
        and could not be measured in a pool that the recipe names; skipped, because the plan left it out.
    reason: one line: the answer of the gates, the failure, or why it was unproven or skipped.
    proofs: how it ended in each engine and pool, in the recipe's order. Empty if it was skipped or not made.
    artifact: its key in the store.
    registered_name, version: the MLflow model version that is this artifact, where it passed.
    new: whether this release registered that version; False where an earlier one had the same files.
    """

    target: str
    format: str
    outcome: Outcome
    reason: str
    required: bool = True
    expect_blocked: bool = False
    proofs: tuple[ReleasedProof, ...] = ()
    artifact: Sha256 | None = None
    files_digest: Sha256 | None = None
    size_bytes: int | None = None
    registered_name: str | None = None
    version: str | None = None
    new: bool = False

    @property
    def disturbed(self) -> str | None:
        """What disturbed the timings of the first proof, or None."""
        return self.proofs[0].disturbed if self.proofs else None

    @property
    def metrics(self) -> dict[str, Measurement]:
        """What the first proof measured: the numbers of the version in MLflow."""
        return self.proofs[0].metrics if self.proofs else {}

    def shortcoming(self, reason: str) -> Shortcoming | None:
        """Return what the recipe demands and how the target ended instead; None if it ended as demanded.

        reason: the target's own, or in words that it shares with other targets.

        A target that is expected to be blocked may also be skipped or unproven: nothing let it through. But no proof of
        it may pass.
        """
        if self.expect_blocked:
            passed = [proof.place for proof in self.proofs if proof.outcome == "passed"]
            if passed and len(self.proofs) > 1:
                return EXPECTED, f"passed in {'; '.join(passed)}"
            if self.outcome not in ("blocked", "skipped", "unproven"):
                return EXPECTED, f"{self.outcome}: {reason}"
        elif self.required and self.outcome != "passed":
            return REQUIRED, f"{self.outcome}: {reason}"
        return None


class Release(Record):
    """One run of one recipe on one source.

    licence_link: where the licence's text is, by the source's card, if it is no file of the repository and so does not
        travel with the artifacts.
    mlflow_run: the MLflow run that shows its numbers and its report.
    unchanged_since: an earlier release with the same files, versions and outcomes; None where something is new. If it
        is set, nothing new was registered, and `mlflow_run` is the run of that release.

    Version 2 has `proofs`. In version 1 each target had one verdict, and neither engine nor pool was recorded.
    Version 3 has `disturbed`; None is right for earlier ones: nobody looked. Version 4 has `licence_link`; None is
    right for earlier ones, too: it was not kept.
    """

    SCHEMA: ClassVar[int] = 4

    release_id: ReleaseId
    repository: Repository
    commit: Commit
    licence: str
    licence_link: str | None = None
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
        """What did not end as the recipe demands: one line for all targets that ended in one way for one reason."""
        reasons = causes({target.target: target.reason for target in self.targets if target.shortcoming("")})
        names: dict[Shortcoming, list[str]] = {}
        for target in self.targets:
            if fault := target.shortcoming(reasons.get(target.target, "")):
                names.setdefault(fault, []).append(target.target)
        return [f"{list_names(found)} {demand[len(found) > 1]}, but {what}" for (demand, what), found in names.items()]

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 wrote the documents and numbers of a target's only proof into the target."""
        targets = fields.get("targets")
        if version > 1 or not isinstance(targets, list):
            return fields
        return {**fields, "targets": [_with_proof(target) for target in targets]}


def _with_proof(target: Any) -> Any:
    if not isinstance(target, dict):
        return target
    newer = {name: value for name, value in target.items() if name not in PROOF_FIELDS}
    proof = {name: target[name] for name in PROOF_FIELDS if name in target}
    if target.get("outcome") != "skipped" and any(proof.values()):
        newer["proofs"] = [{"outcome": target.get("outcome"), "reason": target.get("reason"), **proof}]
    return newer


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
