"""Runs one task from its spec.

If the store has an artifact with the task's key, that artifact is the result. Otherwise the task runs in a scratch
folder; then its files are sent to the store, and last its manifest is written. A crash at any moment leaves either no
artifact or a complete one. A finished output that could not be sent is sent by the next try (`tasks.store.unsent`).
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from pydantic import ValidationError

from tasks.contract import PROVISIONAL, Result, Spec, TaskDefinition
from tasks.costs import process_cost
from tasks.definitions import POOLED, find_definition
from tasks.errors import (
    AccessDenied,
    DiskFull,
    HallmarkError,
    InvalidRecipe,
    NotFound,
    Refused,
    TransientError,
    Unsupported,
    plain,
)
from tasks.host.facts import host_facts
from tasks.host.file_lock import exclusive_lock, try_lock
from tasks.host.processor import processor
from tasks.host.scratch import scratch_folder
from tasks.host.shortage import is_disk_full, reporting_shortage
from tasks.host.timing_lock import timing_lock
from tasks.keys import compute_key
from tasks.manifest import Manifest
from tasks.model import Model, digest_of, explain
from tasks.settings import home
from tasks.store import unsent
from tasks.store.artifacts import (
    complete_attempt,
    find_artifact,
    read_manifest,
    remove_attempt,
    send_files,
    write_manifest,
)
from tasks.store.attempts import new_attempt, scratch_root
from tasks.store.base import Store
from tasks.store.cache import WorkerCache
from tasks.store.outage import retry_store
from tasks.store.recovery import recover_key

REPEAT_SECONDS = 1.0
"""Seconds between two progress lines with the same message. A small model could otherwise print twenty a second."""

LONGEST_FACTS = 1_000_000
"""Characters. Only the names in a repository can make facts so long."""

KEEPING = (TransientError, AccessDenied, DiskFull, InvalidRecipe, Unsupported)
"""Failures to send an output that are not the output's own: it is kept for the next try."""


@dataclass
class Work:
    """A spec that has been validated, with the task's definition, parameters, inputs and key."""

    spec: Spec
    definition: TaskDefinition
    parameters: Model
    inputs: dict[str, Manifest]
    key: str


@dataclass
class ProcessContext:
    """The TaskContext of a task, which runs in its own process."""

    inputs: Mapping[str, Manifest]
    output: Path
    scratch: Path
    threads: int
    hardware: str
    store: Store
    cache: WorkerCache
    versions: dict[str, str] = field(default_factory=dict)
    _reported: str = ""
    _reported_at: float = 0.0

    def materialize(self, name: str) -> Path:
        """Return a read-only folder with the files of the input `name`. See TaskContext."""
        return self.cache.materialize(self.store, self.inputs[name])

    def workspace(self, name: str) -> Path:
        """Return this host's folder for data that is computed from the input `name`. See TaskContext."""
        return self.cache.workspace(self.inputs[name])

    def drop_workspace(self, name: str) -> None:
        """Remove this host's folder for data that was computed from the input `name`. See TaskContext."""
        self.cache.drop_workspace(self.inputs[name])

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Print a line of progress. The same message is printed at most once a second, and at the end."""
        now = time.monotonic()
        if message == self._reported and fraction != 1 and now < self._reported_at + REPEAT_SECONDS:
            return
        self._reported, self._reported_at = message, now
        _say(message if fraction is None else f"{fraction:4.0%} {message}")

    def version(self, tool: str, version: str) -> None:
        """Record a tool's version for the manifest."""
        self.versions[tool] = version


def prepare(spec: Spec, store: Store) -> Work:
    """Validate a spec and compute its key. Raises InvalidRecipe with the wrong parameter."""
    definition = find_definition(spec.task, spec.parameters)
    kind = resolve_name(definition.parameters)
    try:
        parameters = kind.model_validate(spec.parameters)
    except ValidationError as error:
        raise InvalidRecipe(f"The task {spec.task!r} has a wrong parameter: {explain(error, kind)}.") from error
    inputs = {name: _read_input(store, name, key) for name, key in spec.inputs.items()}
    if definition.depends_on_hardware and not spec.hardware:
        raise InvalidRecipe(f"The result of {spec.task!r} depends on the hardware; name it as 'hardware' in the spec.")
    key = compute_key(definition, parameters, inputs, threads=spec.threads, hardware=spec.hardware)
    return Work(spec, definition, parameters, inputs, key)


def _read_input(store: Store, name: str, key: str) -> Manifest:
    try:
        return read_manifest(store, key)
    except NotFound as error:
        raise NotFound(
            f"The input {name!r} of this task is not there any more: {str(error).rstrip('.')}; clear the task "
            "that made it, and what follows it."
        ) from error


def finished(work: Work, store: Store) -> Result | None:
    """Return the result if the store already has the artifact, or None if the task must run."""
    if work.spec.force or not work.definition.keyed:
        return None
    manifest = find_artifact(store, work.key)
    return (
        None
        if manifest is None
        else Result(artifact=manifest.key, facts=manifest.facts, cost=manifest.cost, reused=True)
    )


def run(spec: Spec, store: Store) -> Result:
    """Run a task, or return its result from the store.

    If two processes on one host have the same key, one runs the task; the other waits and then finds the result. A spec
    without hardware gets this host's processor.
    """
    work = prepare(spec if spec.hardware else spec.model_copy(update={"hardware": processor()}), store)
    with _one_at_a_time(work.key):
        if work.definition.keyed:
            for removed in recover_key(store, work.key).removed:
                _say(f"Removed the files of a killed attempt: {removed}")
        if result := finished(work, store):
            unsent.discard(work.key)
            return result
        with _place_on_host(work.definition):
            return _do(work, store)


def _place_on_host(definition: TaskDefinition) -> AbstractContextManager[None]:
    """Return a lock that keeps tasks which measure speed apart from all other tasks that run in pools on this host.

    Light tasks, which run in no pool, take no lock.
    """
    if definition.name not in POOLED:
        return nullcontext()
    alone = definition.threads is None
    others = "the tasks that run on this host" if alone else "a timing that runs on this host"
    return timing_lock(alone, lambda: _say(f"Waiting for the end of {others}."))


def _do(work: Work, store: Store) -> Result:
    cache = WorkerCache(home() / "cache", host_facts().cache_bytes)
    with scratch_folder(scratch_root()) as folder:
        output, scratch = folder / "output", folder / "scratch"
        output.mkdir()
        scratch.mkdir()
        cache.check_links(output)
        context = ProcessContext(work.inputs, output, scratch, work.spec.threads, work.spec.hardware, store, cache)
        with reporting_shortage(output, scratch):
            unsent.remove_old()
            place = _unsent_place(work)
            kept = unsent.find(place) if _may_resend(work) else None
            if kept:
                _say("An earlier try finished the output but did not send it. It is sent now.")
            else:
                facts = dict(resolve_name(work.definition.function)(work.parameters, context))
                _check_length(facts)
                if not any(output.iterdir()) and not work.definition.keyed:
                    return Result(facts=facts, cost=process_cost())
                versions = {"python": sys.version.split()[0], **context.versions}
                kept = unsent.keep(place, output, facts, versions, process_cost())
            try:
                result = _send(work, new_attempt(folder), context, *kept)
            except Exception as error:
                if not (_may_resend(work) and (isinstance(error, KEEPING) or is_disk_full(error))):
                    unsent.discard(place)
                elif kept[0] != output:
                    kept_for = f"The finished output is kept on this host for {unsent.KEPT.days} days."
                    _say(f"{kept_for} The next try of this task sends it.")
                raise
            # The output of an earlier try that was not forced is not needed any more, either.
            for done in {place, work.key}:
                unsent.discard(done)
            return result


def _may_resend(work: Work) -> bool:
    """Whether an output that an earlier try finished and could not send may be the result.

    A forced run makes everything again, but what it has made itself is new.
    """
    return work.definition.keyed and (not work.spec.force or bool(work.spec.forced_by))


def _unsent_place(work: Work) -> str:
    """Return the name of the finished output until it is sent: the key; for a forced run, a digest of key and run."""
    return digest_of([work.key, work.spec.forced_by]) if work.spec.force else work.key


def _send(work: Work, attempt: str, context: ProcessContext, output: Path, made: unsent.Finished) -> Result:
    """Send the output and write its manifests, with retries while the store is unavailable.

    A failure before the first manifest leaves nothing in the store.
    """
    store = context.store
    # An artifact that is not reusable must not be found by the task's key, so each run gets a key of its own.
    reusable = work.definition.keyed and PROVISIONAL not in made.facts
    key = work.key if reusable else digest_of([work.key, attempt])
    try:
        files = send_files(store, f"artifacts/{key}/{attempt}/", output, context.cache, context.progress)
        if result := retry_store(lambda: finished(work, store), context.progress):
            # Another host was faster. Its artifact may be in use already, so it stays, and this one is removed.
            remove_attempt(store, key, attempt)
            return result
        manifest = Manifest(
            key=key,
            attempt=attempt,
            kind=work.definition.name,
            created=datetime.now(UTC),
            files=files,
            inputs={name: given.key for name, given in work.inputs.items()},
            parameters=work.parameters.model_dump(mode="json"),
            versions=made.versions,
            facts=made.facts,
            cost=made.cost,
        )
        retry_store(lambda: complete_attempt(store, manifest), context.progress)
    except BaseException:
        # If the store is not available, the files stay; the next attempt, or the task `sweep`, removes them.
        with suppress(HallmarkError):
            remove_attempt(store, key, attempt)
        raise
    # From here on nothing is removed: a write may have succeeded although its reply was lost.
    retry_store(lambda: write_manifest(store, manifest), context.progress)
    return Result(artifact=key, facts=made.facts, cost=manifest.cost)


def _check_length(facts: Mapping[str, Any]) -> None:
    """Raise Refused for facts that are too long for result.json and for Airflow's database, which keeps them."""
    lengths = {name: len(json.dumps(value)) for name, value in facts.items()}
    if sum(lengths.values()) > LONGEST_FACTS:
        name = max(lengths, key=lengths.__getitem__)
        raise Refused(
            f"The facts that the task found take {sum(lengths.values())} characters, beyond the limit of "
            f"{LONGEST_FACTS}, most of them for {name!r}; do not use this repository."
        )


def _say(message: str) -> None:
    """Print a message with the time. Each of its lines is a line of the log, and is cut by itself if it is long."""
    now = time.strftime("%H:%M:%S")
    for line in message.split("\n"):
        print(f"{now} {plain(line)}", file=sys.stderr, flush=True)


@contextmanager
def _one_at_a_time(key: str) -> Iterator[None]:
    locks = home() / "locks"
    for left in locks.glob("*.lock"):
        # Remove the lock files of killed processes. A lock that is in use is not free.
        with try_lock(left) as free:
            if free:
                left.unlink()
    own = locks / f"{key}.lock"
    with exclusive_lock(own):
        try:
            yield
        finally:
            own.unlink()
