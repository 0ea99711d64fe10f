"""An error is laid to a full disk or to missing memory where these are its cause, and nowhere else."""

import errno
import os
from pathlib import Path

import pytest

from tasks.errors import Corrupt, DiskFull, HallmarkError, OutOfMemory, ToolFailed
from tasks.host import shortage
from tasks.host.shortage import FIX_STORE, FULL_BYTES, disk_full, reporting_shortage

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize(
    "error",
    [
        NO_SPACE,
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        ToolFailed("tool failed with exit status 1; its last lines:\nfwrite: No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=str,
)
def test_a_library_or_tool_that_says_so_is_believed(error: Exception, tmp_path: Path) -> None:
    """The disk may have space again by now, or a quota may be what is full."""
    for name in ("first.bin", "last.bin"):
        (tmp_path / name).write_bytes(b"x" * 1_500_000)
    os.utime(tmp_path / "first.bin", (0, 0))
    said = r"The disk of .*/state was full, .* while last.bin \(1.5 MB so far\) was written"
    with pytest.raises(DiskFull, match=said), reporting_shortage(tmp_path / "empty", tmp_path):
        raise error


def test_what_was_caused_by_it_is_no_other_error() -> None:
    with pytest.raises(DiskFull, match="while its first file was written"), reporting_shortage():
        raise Corrupt("half a file") from NO_SPACE


def test_a_writer_that_did_not_look_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortage, "free_disk_bytes", lambda *_: FULL_BYTES - 1)
    with pytest.raises(DiskFull), reporting_shortage():
        raise Corrupt("half a file")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "MemoryError"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117]\nDefaultCPUAllocator: Cannot allocate memory"), "Cannot"),
    ],
    ids=str,
)
def test_memory_that_is_refused_is_reported_as_such(error: Exception, said: str) -> None:
    told = f"did not get the memory it asked for: .*{said}.*; run it on a host with"
    with pytest.raises(OutOfMemory, match=told), reporting_shortage():
        raise error


@pytest.mark.parametrize(
    "error", [Corrupt("x"), RuntimeError("bug"), OSError(errno.EIO, "input/output error")], ids=str
)
def test_anything_else_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, reporting_shortage():
        raise error
    assert raised.value is error


def test_the_room_that_is_needed_and_free_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortage, "free_disk_bytes", lambda folder: 1_234_567)
    told = disk_full(tmp_path, "model.gguf", 2_500_000_000, FIX_STORE)
    assert str(told) == (
        f"The disk of {tmp_path} was full, with 1.2 MB free, while model.gguf was written, which needs 2.50 GB; free "
        "some, or name a store on a larger disk in HALLMARK_STORE, and clear the task."
    )


def test_it_is_reported_once() -> None:
    first: HallmarkError = DiskFull("the store's disk is full")
    with pytest.raises(DiskFull) as raised, reporting_shortage():
        raise first from NO_SPACE
    assert raised.value is first
