"""An error is laid to a full disk or to missing memory where these are its cause, and nowhere else."""

import errno
import os
from pathlib import Path

import pytest

from tasks.errors import Corrupt, DiskFull, HallmarkError, OutOfMemory, ToolFailed
from tasks.host import shortage
from tasks.host.shortage import FIX_STORE, FULL_BYTES, disk_full, reporting_shortage
from tests.fixtures.disks import fill

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize(
    "error",
    [
        NO_SPACE,
        ToolFailed("tool failed with exit status 1; its last lines:\nfwrite: No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=str,
)
def test_a_library_or_tool_that_says_so_is_believed(error: Exception, tmp_path: Path) -> None:
    """The disk may have space again by now."""
    for name in ("first.bin", "last.bin"):
        (tmp_path / name).write_bytes(b"x" * 1_500_000)
    os.utime(tmp_path / "first.bin", (0, 0))
    said = r"The disk of .*/state was full, .* while last.bin \(1.5 MB so far\) \([^\n]*No space.*\) was written"
    with pytest.raises(DiskFull, match=said), reporting_shortage(tmp_path / "empty", tmp_path):
        raise error


def test_what_was_caused_by_it_is_no_other_error() -> None:
    said = r"while its first file \(\[Errno 28\] No space left on device\) was written"
    with pytest.raises(DiskFull, match=said), reporting_shortage():
        raise Corrupt("half a file") from NO_SPACE


def test_a_used_up_quota_is_no_full_disk(tmp_path: Path) -> None:
    error = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    said = r"^The user's quota on the disk of .*/state was used up while its first file .* was written; free some, or"
    with pytest.raises(DiskFull, match=said) as raised, reporting_shortage():
        raise error
    assert "free, while" not in str(raised.value)
    told = disk_full(tmp_path, "model.gguf", fix=FIX_STORE, error=error)
    assert str(told).startswith(f"The user's quota on the disk of {tmp_path} was used up while model.gguf was written")


def test_the_file_that_the_error_names_is_on_the_full_disk(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "state" / "config.json"))
    said = r"disk of .*/state was full.*while .*/state/config.json was written"
    with pytest.raises(DiskFull, match=said), reporting_shortage():
        raise error


def test_another_disk_is_named_where_the_error_names_a_file_there(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(small_disk / "new" / "config.json"))
    said = rf"^The disk of {small_disk} was full, .*, while {small_disk}/new/config.json was written; free some there, "
    with pytest.raises(DiskFull, match=said), reporting_shortage():
        raise Corrupt("half a file") from error
    monkeypatch.setenv("TMPDIR", str(small_disk))
    said = rf"^The disk of {small_disk} was full, .*; free some, or set TMPDIR to a folder on a larger disk"
    with pytest.raises(DiskFull, match=said), reporting_shortage():
        raise error


def test_a_full_disk_of_temporary_files_is_found(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of `write` names no file."""
    monkeypatch.setenv("TMPDIR", str(small_disk))
    fill(small_disk)
    said = rf"^The disk of {small_disk} was full, with 0.0 MB free, while a temporary file was written; .* set TMPDIR"
    with pytest.raises(DiskFull, match=said), reporting_shortage():
        (small_disk / "config.json").write_bytes(bytes(100_000))


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
