"""Recovery: publish or remove the attempts that killed writers left in the store.

A writer sends an attempt at an artifact in this order. It may be killed at any point, and each state is safe:

1. The files, below `artifacts/<key>/<attempt>/`, one object after the other, large ones as multipart uploads. No reader
   finds them, because no manifest names them. *Killed here: recovery removes the attempt.*
2. The attempt's own manifest, `artifacts/<key>/<attempt>.json`. The attempt is now complete and is never removed: a
   model version may have its source there, even after a forced run has published another attempt.
   *Killed here: recovery publishes the attempt, so that the work is not done twice.*
3. The key's manifest, `artifacts/<key>.json`, with the same bytes. The artifact now exists, and readers find it.

Example: a writer sends `model.gguf` and is killed before step 2. The store holds

    artifacts/4f2a.../20261123t034512-.../model.gguf

The next writer of the key, or the daily task `sweep`, finds that the attempt's writer is dead (`tasks.store.attempts`)
and that the attempt has no manifest of its own, and deletes the file.

The two checks must stay in this order: first whether the writer is dead, then whether the manifest is there. A dead
writer cannot complete the attempt after the first check; a live one could complete it between the two.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tasks.errors import Corrupt, TooNew
from tasks.manifest import attempt_manifest_name, manifest_name
from tasks.store.artifacts import is_whole, load_manifest, remove_attempt, write_manifest
from tasks.store.attempts import is_abandoned
from tasks.store.base import Store

STALE = timedelta(days=1)
"""Age at which an upload that belongs to no attempt is abandoned: such objects are small and sent in seconds."""


@dataclass
class Recovered:
    """What recovery did, attempts as `<key>/<attempt>`.

    removed: incomplete attempts that were deleted.
    published: complete attempts whose key had no manifest.
    too_new: complete attempts that a newer version of this code wrote; they are left to it.
    uploads: names of objects outside attempts whose upload was aborted.
    """

    removed: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    too_new: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)


def recover_key(store: Store, key: str) -> Recovered:
    """Recover the attempts of one key. Raises TooNew where a newer version of this code has done the key's work."""
    recovered = _recover(store, f"artifacts/{key}/")
    for attempt in recovered.too_new:
        # It raises, and names the record.
        load_manifest(store, f"artifacts/{attempt}.json")
    return recovered


def recover_all(store: Store) -> Recovered:
    """Recover the attempts of all keys, and abort stale uploads below `artifacts/` and `releases/`.

    Uploads below other prefixes belong to others who use the same bucket, and stay.
    """
    recovered = _recover(store, "artifacts/")
    for upload in [*store.unfinished("artifacts/"), *store.unfinished("releases/")]:
        if _attempt(upload.name) is None and datetime.now(UTC) - upload.since > STALE:
            store.discard(upload)
            recovered.uploads.append(upload.name)
    return recovered


def _recover(store: Store, prefix: str) -> Recovered:
    recovered = Recovered()
    names, complete, published = set(), set(), set()
    for found in store.list(prefix):
        if (attempt := _attempt(found.name)) is None:
            published.add(found.name)
            continue
        names.add(attempt)
        if found.name == attempt_manifest_name(*attempt):
            complete.add(attempt)
    names |= {attempt for upload in store.unfinished(prefix) if (attempt := _attempt(upload.name))}
    for key, name in sorted(names):
        if not is_abandoned(name):
            continue
        # The writer may have completed the attempt after the listing and died then.
        if (key, name) not in complete and store.stat(attempt_manifest_name(key, name)) is None:
            remove_attempt(store, key, name)
            recovered.removed.append(f"{key}/{name}")
        elif manifest_name(key) not in published and store.stat(manifest_name(key)) is None:
            _publish(store, key, name, recovered)
    return recovered


def _publish(store: Store, key: str, name: str, recovered: Recovered) -> None:
    # A corrupt manifest must not stop the writer that makes the artifact again.
    with suppress(Corrupt):
        try:
            manifest = load_manifest(store, attempt_manifest_name(key, name))
        except TooNew:
            recovered.too_new.append(f"{key}/{name}")
            return
        if is_whole(store, manifest):
            write_manifest(store, manifest)
            recovered.published.append(f"{key}/{name}")


def _attempt(name: str) -> tuple[str, str] | None:
    """Return key and attempt of an object below `artifacts/`, or None for a key's manifest and for anything else."""
    parts = name.split("/")
    if len(parts) < 3 or parts[0] != "artifacts":
        return None
    return parts[1], parts[2].removesuffix(".json") if len(parts) == 3 else parts[2]
