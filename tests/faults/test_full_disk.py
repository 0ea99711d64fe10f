"""A disk that is full is told as such, leaves nothing half-made and is not left full; with space, a retry succeeds."""

import hashlib
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from operators import model_task
from operators.local_job import LocalJob
from operators.model_task import ModelTask
from tasks import definitions
from tasks.contract import EXIT_NO_RESULT, Spec
from tasks.errors import DiskFull
from tasks.execution import run
from tasks.formats.base import Prediction
from tasks.host.facts import free_disk_bytes
from tasks.manifest import FileEntry, Manifest
from tasks.model import digest_of
from tasks.runtimes import Runtime
from tasks.source.fetch import fetch
from tasks.source.parameters import FetchParameters
from tasks.store.cache import WorkerCache
from tasks.store.local import LocalStore
from tests.faults.disk_task import FILL, SIZE, WAYS
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.context import make_context
from tests.fixtures.disks import DISK_BYTES, fill
from tests.fixtures.servers import HubMirror
from tests.operators.airflow_context import context
from tests.operators.jobs import task_interpreter
from tests.tasks.probe import KEYED

Execute = Callable[[str], dict[str, Any]]

NO_SPACE = DISK_BYTES // 2
"""Left of the disk: less than the task's file needs."""


@pytest.fixture(autouse=True)
def state(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder lies on the small disk, the store elsewhere."""
    monkeypatch.setenv("HALLMARK_HOME", str(small_disk / "state"))
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/store")
    for definition in (KEYED, FILL):
        monkeypatch.setitem(definitions.FIXED, definition.name, definition)
    return small_disk / "state"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.mark.parametrize("way", WAYS)
def test_a_conversion_says_what_it_wrote_and_cleans_up(
    way: str, small_disk: Path, state: Path, store: LocalStore
) -> None:
    ballast = fill(small_disk, leave_bytes=NO_SPACE)
    spec = Spec(task="fill", parameters={"way": way})
    said = r"The disk of .*/state was full, with .* MB free, while model.bin \(.* MB so far\) was written"
    with pytest.raises(DiskFull, match=said) as full:
        run(spec, store)
    assert "set HALLMARK_HOME to a folder on a larger disk, and clear the task" in str(full.value)
    assert list(store.list("")) == [] and list((state / "scratch").iterdir()) == []
    assert free_disk_bytes(small_disk) > NO_SPACE - 2**20, "what it wrote is gone"
    ballast.unlink()
    assert run(spec, store).facts == {"bytes": SIZE}


def test_a_download_gives_the_space_back(
    small_disk: Path, hub_mirror: HubMirror, store: LocalStore, tmp_path: Path
) -> None:
    """The disk has room when the fetch begins, and somebody else fills it before the weights come."""
    files = {path.name: path.read_bytes() for path in make_checkpoint(tmp_path / "checkpoint").iterdir()}
    commit = hub_mirror.add("full/disk", files)
    parameters = FetchParameters(repository="full/disk", commit=commit)
    weights = len(files["model.safetensors"])
    hub_mirror.fail("full/disk", "model.safetensors", lambda: fill(small_disk, leave_bytes=weights // 2))
    said = r"The disk of .*/cache/partial was full.* while model.safetensors of full/disk was written, which needs"
    with pytest.raises(DiskFull, match=said):
        fetch(parameters, make_context(small_disk / "first", store=store))
    assert free_disk_bytes(small_disk) >= weights // 2 - 65536, "the half that came is gone"
    (small_disk / "ballast").unlink()
    again = make_context(small_disk / "second", store=store)
    fetch(parameters, again)
    assert (again.output / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_an_upload_into_a_folder_leaves_nothing_there(small_disk: Path, tmp_path: Path) -> None:
    store = LocalStore(small_disk / "store")
    ballast = fill(small_disk, leave_bytes=NO_SPACE)
    big = tmp_path / "big"
    big.write_bytes(bytes(SIZE))
    said = r"The disk of .*/store was full, .* while artifacts/1/big was written, which needs 12.6 MB; .*HALLMARK_STORE"
    with pytest.raises(DiskFull, match=said):
        store.put_file("artifacts/1/big", big)
    assert list(store.list("")) == [] and free_disk_bytes(small_disk) > NO_SPACE - 2**20
    ballast.unlink()
    assert store.put_file("artifacts/1/big", big).size == SIZE


def test_a_manifest_that_the_store_cannot_hold_leaves_no_artifact(small_disk: Path) -> None:
    store = LocalStore(small_disk / "store")
    fill(small_disk)
    with pytest.raises(DiskFull, match=r"while artifacts/1.json was written, which needs 0.0 MB"):
        store.put_bytes("artifacts/1.json", b"{}")
    assert store.stat("artifacts/1.json") is None


def artifact(store: LocalStore, **files: bytes) -> Manifest:
    """Put an artifact of these files into the store."""
    entries = tuple(
        FileEntry(path=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    )
    made = Manifest(key=digest_of(sorted(files)), attempt="1", kind="test", created=datetime.now(UTC), files=entries)
    for name, content in files.items():
        store.put_bytes(made.prefix + name, content)
    return made


def test_the_worker_cache_leaves_no_half_a_tree(small_disk: Path, state: Path, store: LocalStore) -> None:
    made = artifact(store, a_small=b"1", big=bytes(SIZE))
    cache = WorkerCache(state / "cache", DISK_BYTES)
    ballast = fill(small_disk, leave_bytes=NO_SPACE)
    with pytest.raises(
        DiskFull, match=r"cache was full, .* while big was written, which needs 12.6 MB; .* cache_bytes"
    ):
        cache.materialize(store, made)
    assert list((state / "cache" / "trees").iterdir()) == []
    assert [blob.stat().st_size for blob in (state / "cache" / "blobs").iterdir()] == [1], "what is whole is kept"
    ballast.unlink()
    assert (cache.materialize(store, made) / "big").stat().st_size == SIZE


def test_the_worker_cache_gives_way_before_the_disk_is_full(state: Path, store: LocalStore) -> None:
    """Its limit may be larger than the disk."""
    old = artifact(store, old=b"1" * SIZE)
    new = artifact(store, new=b"2" * SIZE)
    for made in (old, new):
        tree = WorkerCache(state / "cache", 10 * DISK_BYTES).materialize(store, made)
        assert tree.exists()
    # What is here already needs no space, so nobody gives way to it.
    more = WorkerCache(state / "cache", 10 * DISK_BYTES).materialize(store, artifact(store, new=b"2" * SIZE, more=b"3"))
    assert tree.exists() and more.exists()


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """The operator over a real task's process; its job's folder lies on the small disk."""
    python = task_interpreter(tmp_path)
    monkeypatch.setattr(model_task, "runtime", lambda name: Runtime(name=name, python=python, lock_digest="1"))
    return lambda way: ModelTask(task_id="tested", task="fill", parameters={"way": way}).execute(context())


def test_a_job_that_has_no_space_to_begin_is_not_tried_again(small_disk: Path, execute: Execute) -> None:
    ballast = fill(small_disk)
    with pytest.raises(
        AirflowFailException, match="The disk of .*/state was full, with 0.0 MB free, .* clear the task"
    ):
        execute("python")
    ballast.unlink()
    assert execute("python")["facts"] == {"bytes": SIZE}


@pytest.mark.parametrize("way", ["neighbour", "log"])
def test_a_result_or_log_without_space_is_no_bug(way: str, small_disk: Path, state: Path, execute: Execute) -> None:
    execute("python")
    said = "The disk of .*/state/jobs/.* was full, .* while the task's result or log was written; .* clear the task"
    with pytest.raises(AirflowFailException, match=said):
        execute(way)
    assert not list((state / "jobs").rglob(".result*")) and list((state / "scratch").iterdir()) == []
    (small_disk / "ballast").unlink()
    if way == "neighbour":
        assert execute(way)["reused"], "the artifact had been kept"


def test_by_hand_it_is_a_sentence_and_a_status_of_its_own(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    fill(small_disk)
    (tmp_path / "spec.json").write_text(Spec(task="fill", parameters={"way": "python"}).to_json())
    command = [task_interpreter(tmp_path), "-m", "tasks", "fill", tmp_path / "spec.json", "--result", small_disk / "r"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == EXIT_NO_RESULT and "Traceback" not in done.stderr
    assert re.search(
        "DiskFull: The disk of .* was full, .* while the task's result was written; free some", done.stderr
    )
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_the_predicted_need_of_a_conversion_is_reported(small_disk: Path, tmp_path: Path) -> None:
    fill(small_disk, leave_bytes=NO_SPACE)
    job = LocalJob(tmp_path / "job", Prediction(size_bytes=SIZE, memory_bytes=SIZE, disk_bytes=33_000_000))
    environment = {name: os.environ[name] for name in ("HALLMARK_HOME", "HALLMARK_STORE")}
    job.submit(task_interpreter(tmp_path), Spec(task="fill", parameters={"way": "tool"}), environment)
    failure = job.wait(lambda line: None).failure
    assert failure and (failure.error, failure.kind) == ("DiskFull", "terminal")
    assert failure.message.endswith("Preflight predicted that it needs 33.0 MB of disk.")
