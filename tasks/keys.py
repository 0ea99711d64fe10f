"""Keys: a digest of everything that decides an artifact's bytes. The same key means: the work is done."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tasks.code_closure import closure_digest
from tasks.contract import TaskDefinition
from tasks.manifest import Manifest
from tasks.model import Model, digest_of
from tasks.runtimes import lock_digest, native_digest
from tasks.settings import REPOSITORY


def compute_key(
    definition: TaskDefinition, parameters: Model, inputs: Mapping[str, Manifest], *, threads: int, hardware: str
) -> str:
    """Return the key (64 hex digits) of what a task makes of its inputs with so many threads on this hardware.

    It covers the task's name and full parameters, path and digest of every input file that is read (so a new README is
    no new model), the source code that makes it (see tasks/code_closure.py), the runtime's lock, native builds, and for
    a timing the threads and the hardware that its spec names. It covers no fact of the host on which it is computed:
    the operator and the job, which may run on two hosts, have to get the same key.
    """
    return digest_of(
        {
            "task": definition.name,
            "parameters": parameters.model_dump(mode="json"),
            "inputs": {name: read_digest(manifest, definition.reads.get(name)) for name, manifest in inputs.items()},
            "code": code_digest((definition.function, *definition.roots)),
            # Two functions of one module are one code.
            "functions": [definition.function, *definition.roots],
            "values": list(definition.values),
            "runtime": lock_digest(definition.runtime),
            "native": {name: native_digest(name) for name in definition.native},
            "hardware": [hardware, threads] if definition.hardware else None,
        }
    )


def read_digest(manifest: Manifest, patterns: Any = None) -> str:
    """Return the digest of those of an artifact's files that match one of the glob patterns (all, where None)."""
    read = [entry for entry in manifest.files if patterns is None or any(fnmatchcase(entry.path, p) for p in patterns)]
    return digest_of([[entry.path, entry.sha256] for entry in read])


def code_digest(roots: Iterable[str]) -> str:
    """Return the digest of the source of these modules ("module:attribute") and of all that they import."""
    return closure_digest(tuple(sorted(set(roots))), REPOSITORY)
