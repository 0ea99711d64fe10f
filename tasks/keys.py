"""Computes keys. A key is a digest of everything that decides an artifact's bytes.

If the store already has an artifact with a task's key, the task does not need to run again.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tasks.code_closure import closure_digest
from tasks.contract import TaskDefinition
from tasks.manifest import Manifest
from tasks.model import Model, digest_of
from tasks.runtime_declaration import read_declaration
from tasks.runtimes import lock_digest, native_digest
from tasks.settings import REPOSITORY


def compute_key(
    definition: TaskDefinition, parameters: Model, inputs: Mapping[str, Manifest], *, threads: int, hardware: str
) -> str:
    """Return the key (64 hex digits) of the artifact that a task makes from its inputs.

    The key covers the task's name and its parameters, the paths and digests of the input files that it reads (so a
    new README does not change the key), the facts of its inputs that it reads, its source code (see
    tasks/code_closure.py), the lock and the declared variables of its runtime, and the builds of its native tools. It
    also covers `hardware` for measurements and on accelerators, and `threads` for measured speeds.

    Parameters that only say whether the task fails are not in the key: the model leaves them out of its JSON.

    The key covers no fact about the host that computes it, because the operator and the job may run on different hosts
    and must compute the same key. There is one exception: if the pool does not declare its hardware, `hardware` is
    that of the host that reads the settings (see tasks.pools.declared_pools).
    """
    return digest_of(
        {
            "task": definition.name,
            "parameters": parameters.model_dump(mode="json"),
            "inputs": {name: read_digest(manifest, definition.reads.get(name)) for name, manifest in inputs.items()},
            "facts": {
                name: {fact: manifest.facts.get(fact) for fact in definition.facts[name]}
                for name, manifest in inputs.items()
                if name in definition.facts
            },
            "code": code_digest((definition.function, *definition.roots)),
            # Two functions of one module have the same code digest, so their names are added.
            "functions": [definition.function, *definition.roots],
            "values": list(definition.values),
            "runtime": lock_digest(definition.runtime),
            # As it is declared, with placeholders in place of this host's folders.
            "environment": dict(read_declaration(definition.runtime).environment),
            "native": {name: native_digest(name) for name in definition.native},
            "hardware": _hardware(definition, threads, hardware),
        }
    )


def _hardware(definition: TaskDefinition, threads: int, hardware: str) -> list[str | int] | None:
    if not definition.depends_on_hardware:
        return None
    return [hardware, threads] if definition.timing else [hardware]


def read_digest(manifest: Manifest, patterns: Any = None) -> str:
    """Return a digest of the artifact's files that match one of the glob patterns, or of all files if it is None."""
    read = [entry for entry in manifest.files if patterns is None or any(fnmatchcase(entry.path, p) for p in patterns)]
    return digest_of([[entry.path, entry.sha256] for entry in read])


def code_digest(roots: Iterable[str]) -> str:
    """Return a digest of the source of these modules ("module:attribute") and of everything that they import."""
    return closure_digest(tuple(sorted(set(roots))), REPOSITORY)
