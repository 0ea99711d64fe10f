"""Two at once, as real processes, in both stores: one does the work, both get it; one reads the store, both have it."""

import multiprocessing
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import Result, Spec
from tasks.manifest import Manifest
from tasks.settings import REPOSITORY
from tasks.store.artifacts import find_artifact
from tasks.store.base import Store
from tasks.store.cache import WorkerCache
from tasks.store.open import open_store

SPAWN = multiprocessing.get_context("spawn")
SECONDS = 60
DATA = bytes(range(256)) * 100_000


def artifact(store: Store, key: str, **files: bytes) -> Manifest:
    entries = tuple(
        store.put_bytes(f"artifacts/{key}/one/{path}", data).model_copy(update={"path": path})
        for path, data in files.items()
    )
    return Manifest(key=key, attempt="one", kind="test", created=datetime.now(UTC), files=entries)


def test_two_processes_with_one_key_work_once(shared: Store, tmp_path: Path) -> None:
    spec = Spec(task="probe", parameters={"do": "slow", "log": str(tmp_path / "log")})
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.tasks.writer", spec.to_json()],
            cwd=REPOSITORY,
            env={**os.environ, "HALLMARK_HOME": str(tmp_path / "home")},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [Result.from_json(writer.communicate(timeout=SECONDS)[0]) for writer in writers]
    assert sorted(result.reused for result in results) == [False, True]
    assert len({result.artifact for result in results}) == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert results[0].artifact and find_artifact(shared, results[0].artifact)
    assert len(list(shared.list("artifacts/"))) == 3


def _materialize(root: Path, manifest: Manifest, barrier: Any) -> None:
    cache, store = WorkerCache(root, 10**9), open_store()
    barrier.wait(SECONDS)
    assert (cache.materialize(store, manifest) / "a").read_bytes() == DATA


@pytest.mark.parametrize("shared", [pytest.param("s3", marks=pytest.mark.servers)], indirect=True)
def test_two_processes_that_want_one_file_read_the_store_once(shared: Store, tmp_path: Path, s3_server: Any) -> None:
    made = [artifact(shared, "1" * 64, a=DATA, b=b"2"), artifact(shared, "2" * 64, a=DATA, c=b"3")]
    barrier = SPAWN.Barrier(2)
    processes = [SPAWN.Process(target=_materialize, args=(tmp_path / "cache", each, barrier)) for each in made]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]
    folder = f"{shared.url.removeprefix(f's3://{s3_server.bucket}/')}/artifacts/"
    assert sorted(row["sent"] for row in s3_server.requests("GET", folder)) == [1, 1, len(DATA)]
