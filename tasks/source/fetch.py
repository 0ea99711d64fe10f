"""Fetch a source's files and verify each against the Hub's digest. A snapshot is complete or does not exist."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub

from tasks.checkpoint.companions import LINKED
from tasks.contract import TaskContext
from tasks.errors import Corrupt, DiskFull
from tasks.host.facts import free_disk_bytes, same_disk
from tasks.host.file_lock import try_lock
from tasks.host.shortage import FIX_STATE, megabytes
from tasks.settings import home
from tasks.source.download import download, partial_lock
from tasks.source.hub import HubFile, HubRepository, read_repository
from tasks.source.parameters import FetchParameters
from tasks.source.selection import (
    Weights,
    check_names,
    find_companions,
    find_left_out,
    find_shards,
    find_weights,
    linked_licence,
)
from tasks.store.base import Store
from tasks.store.local import LocalStore

NAMING_CODE = ("config.json", "tokenizer_config.json")
"""Files in which a repository names its own Python modules (`auto_map`)."""

PROGRESS_SECONDS = 2.0
PARTIAL_DAYS = 14
"""A partial download that is older is removed."""


def fetch(parameters: FetchParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write the snapshot's files into the output and return its facts.

    Raises NotFound, AccessDenied, RateLimited or HubUnavailable by the Hub's answer, Corrupt where bytes or the index
    of the shards are wrong, Unsupported where there are no usable weights, and DiskFull where the disk is too small.
    """
    context.version("huggingface_hub", huggingface_hub.__version__)
    repository = read_repository(parameters.repository, parameters.commit, context.progress)
    partials = home() / "cache" / "partial"
    _sweep(partials, repository)
    weights = find_weights(repository)
    meter = _Meter(context)
    small = [file for file in map(repository.file, NAMING_CODE) if file] + [weights.file] * weights.sharded
    for file in small:
        download(repository, file, context.output / file.path, partials, meter.arrived, context.progress)
    files = _select(repository, weights, context.output)
    missing = [file for file in files if file not in small]
    _check_disk(repository, missing, partials, context.store)
    meter.expect(sum(file.size for file in files))
    # The small files come first: a tokenizer that cannot be downloaded then fails the task within seconds.
    for file in sorted(missing, key=lambda file: file.size):
        download(repository, file, context.output / file.path, partials, meter.arrived, context.progress)
    _check_complete(files, context.output)
    _place_linked_licence(repository, context.output)
    total = sum(file.size for file in files)
    context.progress(f"{len(files)} files, {total / 1e6:.1f} MB, each with the Hub's digest", 1.0)
    return {
        "repository": repository.name,
        "commit": repository.commit,
        "licence": repository.licence,
        "base_models": list(repository.base_models),
        "weight_format": weights.format,
        "files": len(files),
        "bytes": total,
        "left_out": list(find_left_out(repository, weights)),
    }


def _select(repository: HubRepository, weights: Weights, output: Path) -> list[HubFile]:
    """All files of the snapshot. The index and the configurations name some of them, so these come first."""
    with_code = any(b'"auto_map"' in _read(output / name) for name in NAMING_CODE)
    files = [weights.file, *find_companions(repository, with_code)]
    if weights.sharded:
        files += find_shards(repository, weights.file, _read(output / weights.file.path))
    check_names(repository, selected := list(dict.fromkeys(files)))
    return selected


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


class _Meter:
    """Reports how much has arrived, of how much, and how fast, every PROGRESS_SECONDS."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._bytes = 0
        self._total: int | None = None
        self._started = self._told = time.monotonic()

    def expect(self, total: int) -> None:
        """Set the total number of bytes."""
        self._total = total

    def arrived(self, count: int) -> None:
        """Count bytes, including those of a partial download from an earlier attempt."""
        self._bytes += count
        now = time.monotonic()
        if self._total and now - self._told >= PROGRESS_SECONDS:
            self._told = now
            speed = self._bytes / 1e6 / (now - self._started)
            message = f"{self._bytes / 1e6:.1f} of {self._total / 1e6:.1f} MB, {speed:.1f} MB/s"
            self._context.progress(message, self._bytes / self._total)


def _check_disk(repository: HubRepository, files: list[HubFile], partials: Path, store: Store) -> None:
    """Raise DiskFull before the first byte where the files, and the copy of a store on the same disk, do not fit."""
    there = sum((partials / file.digest).stat().st_size for file in files if (partials / file.digest).exists())
    total = sum(file.size for file in files)
    beside = isinstance(store, LocalStore) and same_disk(store.root, home())
    needed = total - there + (total if beside else 0)
    free = free_disk_bytes()
    if needed > free:
        raise DiskFull(
            f"{repository.name} needs {megabytes(needed)} on the disk of {home()}, and {megabytes(free)} are free; "
            f"{FIX_STATE}."
        )


def _place_linked_licence(repository: HubRepository, output: Path) -> None:
    """Move the licence that only the card names to where it is known as one, so that it travels with artifacts."""
    path = linked_licence(repository)
    if path is None:
        return
    if (output / LINKED).exists():
        raise Corrupt(
            f"{repository.name} has the name {LINKED}, below which the licence that its card names ({path}) is kept; "
            "ask the publisher to rename it."
        )
    placed = output / LINKED / path
    placed.parent.mkdir(parents=True)
    (output / path).rename(placed)


def _check_complete(files: list[HubFile], output: Path) -> None:
    """Raise Corrupt where the folder differs from the Hub's listing."""
    found = {path.relative_to(output).as_posix(): path.stat().st_size for path in output.rglob("*") if path.is_file()}
    expected = {file.path: file.size for file in files}
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))[0][0]
        raise Corrupt(f"The snapshot is not what the Hub lists ({wrong} differs); run the release again.")


def _sweep(partials: Path, repository: HubRepository) -> None:
    """Remove partial downloads that other fetches finished, which are in the worker cache, and abandoned ones."""
    ours = {file.digest for file in repository.files}
    digests = {path.name.removesuffix(".lock") for path in partials.iterdir()} if partials.is_dir() else set()
    for digest in digests - ours:
        partial, lock = partials / digest, partial_lock(partials, digest)
        # Another fetch may be writing it, even if the cache has these bytes from an earlier fetch.
        with try_lock(lock) as free:
            if free and _is_left(partial):
                partial.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)


def _is_left(partial: Path) -> bool:
    if not partial.exists() or (partial.parent.with_name("blobs") / partial.name).exists():
        return True
    stat = partial.stat()
    return stat.st_nlink > 1 or stat.st_mtime < time.time() - PARTIAL_DAYS * 24 * 3600
