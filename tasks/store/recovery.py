"""What killed writers left in the store: a whole artifact is published, anything less is removed.

An attempt is written in this order, and each state in between is safe:

1. its files below `artifacts/<key>/<attempt>/`, one object after the other, large ones as multipart uploads. Nobody
   reads them, for nothing names them. Killed here, the attempt is removed.
2. its own manifest, `artifacts/<key>/<attempt>.json`. From now on the attempt is whole and never removed: a model
   version may have its source there, also after a forced run has put another in its place. Killed here, it is
   published by whoever finds it, so that nothing is made twice.
3. the key's manifest, `artifacts/<key>.json`, the same bytes: now the artifact exists.

So an attempt is removed only if it is abandoned and has no manifest of its own, *looked for in this order*: a writer
that is dead cannot complete it any more, one that is alive could between the two looks.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tasks.errors import Corrupt
from tasks.manifest import attempt_manifest_name, manifest_name
from tasks.store.artifacts import is_whole, load_manifest, remove_attempt, write_manifest
from tasks.store.attempts import is_abandoned
from tasks.store.base import Store

STALE = timedelta(days=1)
"""What is not an attempt's is a small object, sent in seconds; after a day its writer is dead."""


@dataclass
class Settled:
    """The attempts (`<key>/<attempt>`) that were removed and published, and other uploads that were given up."""

    removed: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)


def settle_key(store: Store, key: str) -> Settled:
    """Remove or publish what dead writers left of one key."""
    return _settle(store, f"artifacts/{key}/")


def settle_all(store: Store) -> Settled:
    """Remove or publish what dead writers left in the whole store, also of keys that nobody tries again.

    In a bucket that others use as well, what lies beside the store's own names is theirs.
    """
    settled = _settle(store, "artifacts/")
    for upload in [*store.unfinished("artifacts/"), *store.unfinished("releases/")]:
        if _attempt(upload.name) is None and datetime.now(UTC) - upload.since > STALE:
            store.discard(upload)
            settled.uploads.append(upload.name)
    return settled


def _settle(store: Store, prefix: str) -> Settled:
    settled = Settled()
    names, whole, published = set(), set(), set()
    for found in store.list(prefix):
        if (attempt := _attempt(found.name)) is None:
            published.add(found.name)
            continue
        names.add(attempt)
        if found.name == attempt_manifest_name(*attempt):
            whole.add(attempt)
    names |= {attempt for upload in store.unfinished(prefix) if (attempt := _attempt(upload.name))}
    for key, name in sorted(names):
        if not is_abandoned(name):
            continue
        # The list may be older than the writer's last breath.
        if (key, name) not in whole and store.stat(attempt_manifest_name(key, name)) is None:
            remove_attempt(store, key, name)
            settled.removed.append(f"{key}/{name}")
        elif manifest_name(key) not in published and store.stat(manifest_name(key)) is None:
            # One that is damaged must not stop who would make the artifact anew.
            with suppress(Corrupt):
                manifest = load_manifest(store, attempt_manifest_name(key, name))
                if is_whole(store, manifest):
                    write_manifest(store, manifest)
                    settled.published.append(f"{key}/{name}")
    return settled


def _attempt(name: str) -> tuple[str, str] | None:
    """Return key and attempt of an object below `artifacts/`, or None for a key's manifest and for anything else."""
    parts = name.split("/")
    if len(parts) < 3 or parts[0] != "artifacts":
        return None
    return parts[1], parts[2].removesuffix(".json") if len(parts) == 3 else parts[2]
