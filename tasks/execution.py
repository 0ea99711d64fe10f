"""Run one task from its spec: find it done, or work in a scratch folder, send the files and write the manifest."""

import fcntl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.contract import Result, Spec, TaskDefinition
from tasks.costs import process_cost
from tasks.definitions import find_definition
from tasks.errors import InvalidRecipe
from tasks.keys import compute_key
from tasks.manifest import Manifest
from tasks.model import Model, digest_of, explain
from tasks.scratch import scratch_folder
from tasks.settings import home, host_facts
from tasks.store.artifacts import (
    find_artifact,
    new_attempt,
    read_manifest,
    remove_attempt,
    send_files,
    write_manifest,
)
from tasks.store.base import Store
from tasks.store.cache import WorkerCache


@dataclass
class Work:
    """A spec made ready: what will run, with which parameters, on which inputs, and under which key."""

    spec: Spec
    definition: TaskDefinition
    parameters: Model
    inputs: dict[str, Manifest]
    key: str


@dataclass
class ProcessContext:
    """The TaskContext of a task that runs in a process of its own."""

    inputs: Mapping[str, Manifest]
    output: Path
    scratch: Path
    threads: int
    store: Store
    cache: WorkerCache
    versions: dict[str, str] = field(default_factory=dict)

    def materialize(self, name: str) -> Path:
        """Return a read-only folder with the files of input `name`, through the worker cache."""
        return self.cache.materialize(self.store, self.inputs[name])

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Write a line that a person who watches the log understands."""
        share = "" if fraction is None else f"{fraction:4.0%} "
        print(f"{time.strftime('%H:%M:%S')} {share}{message}", file=sys.stderr, flush=True)

    def version(self, tool: str, version: str) -> None:
        """Record a tool's version for the manifest."""
        self.versions[tool] = version


def prepare(spec: Spec, store: Store) -> Work:
    """Validate a spec and compute its key; raises InvalidRecipe naming the parameter that is wrong."""
    definition = find_definition(spec.task, spec.parameters)
    try:
        parameters = _load(definition.parameters).model_validate(spec.parameters)
    except ValidationError as error:
        raise InvalidRecipe(f"The task {spec.task!r} got a wrong parameter {explain(error)}.") from error
    inputs = {name: read_manifest(store, key) for name, key in spec.inputs.items()}
    return Work(spec, definition, parameters, inputs, compute_key(definition, parameters, inputs))


def finished(work: Work, store: Store) -> Result | None:
    """Return the result of work that is already in the store, or None where it has to be done."""
    if work.spec.force or not work.definition.keyed:
        return None
    manifest = find_artifact(store, work.key)
    return (
        None
        if manifest is None
        else Result(artifact=manifest.key, facts=manifest.facts, cost=manifest.cost, reused=True)
    )


def run(spec: Spec, store: Store) -> Result:
    """Do a task, or find it done. Two processes with one key on one host: one works, the other waits and finds it."""
    work = prepare(spec, store)
    with _one_at_a_time(work.key):
        return finished(work, store) or _do(work, store)


def _do(work: Work, store: Store) -> Result:
    cache = WorkerCache(home() / "cache", host_facts().cache_bytes)
    with scratch_folder(home() / "scratch") as folder:
        output, scratch = folder / "output", folder / "scratch"
        output.mkdir()
        scratch.mkdir()
        context = ProcessContext(work.inputs, output, scratch, work.spec.threads, store, cache)
        facts = dict(_load(work.definition.function)(work.parameters, context))
        if not any(output.iterdir()) and not work.definition.keyed:
            return Result(facts=facts, cost=process_cost())
        return _keep(work, store, context, facts)


def _keep(work: Work, store: Store, context: ProcessContext, facts: dict[str, Any]) -> Result:
    """Send the output and write its manifest; without a manifest nothing of it stays."""
    attempt = new_attempt()
    # What is not reusable is not found by its key either: each run of it is an artifact of its own.
    key = work.key if work.definition.keyed else digest_of([work.key, attempt])
    prefix = f"artifacts/{key}/{attempt}/"
    try:
        files = send_files(store, prefix, context.output, context.cache)
        manifest = Manifest(
            key=key,
            attempt=attempt,
            kind=work.definition.name,
            created=datetime.now(UTC),
            files=files,
            inputs={name: given.key for name, given in work.inputs.items()},
            parameters=work.parameters.model_dump(mode="json"),
            versions={"python": sys.version.split()[0], **context.versions},
            facts=facts,
            cost=process_cost(),
        )
        write_manifest(store, manifest)
    except BaseException:
        remove_attempt(store, prefix)
        raise
    return Result(artifact=key, facts=facts, cost=manifest.cost)


def _load(reference: str) -> Any:
    module, name = reference.split(":")
    return getattr(import_module(module), name)


@contextmanager
def _one_at_a_time(key: str) -> Iterator[None]:
    locks = home() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{key}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
