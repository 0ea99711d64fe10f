"""Rows that one evaluation computed are read by the next, bit for bit, and nothing half-written is ever believed."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.evaluation import shared_rows
from tasks.evaluation.reference_reader import ExactReference, open_reference
from tasks.evaluation.shared_rows import SharedRows
from tests.tasks.evaluation.toy import WINDOW_TOKENS, write_reference

ROWS, WIDTH, BLOCK = 23, 11, 4


class Counted:
    """Computes rows, and keeps which."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.values = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)

    def __call__(self, start: int, stop: int) -> NDArray[np.float32]:
        self.calls.append((start, stop))
        return self.values[start:stop].copy()


def shared(folder: Path) -> SharedRows:
    return SharedRows(folder, ROWS, WIDTH, BLOCK)


def test_each_block_is_computed_once_however_it_is_asked_for(tmp_path: Path) -> None:
    compute, rows = Counted(), shared(tmp_path)
    for start, stop in ((0, 7), (7, 9), (9, ROWS), (2, 21)):
        np.testing.assert_array_equal(rows.read(start, stop, compute), compute.values[start:stop])
    assert sorted(compute.calls) == [(first, min(first + BLOCK, ROWS)) for first in range(0, ROWS, BLOCK)]


def test_the_next_process_computes_nothing(tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    shared(tmp_path).read(0, ROWS, first)
    np.testing.assert_array_equal(shared(tmp_path).read(0, ROWS, second), first.values)
    assert second.calls == []


def test_what_is_given_may_be_overwritten(tmp_path: Path) -> None:
    compute, rows = Counted(), shared(tmp_path)
    rows.read(0, ROWS, compute)[:] = 0
    np.testing.assert_array_equal(rows.read(0, ROWS, compute), compute.values)


def test_what_other_tasks_keep_in_the_folder_stays(tmp_path: Path) -> None:
    """The folder is one that all tasks share for what they work out of the reference."""
    others = tmp_path / "of-another-task.rows", tmp_path / "notes.json"
    for other in others:
        other.write_bytes(b"kept")
    (tmp_path / "folder").mkdir()
    shared(tmp_path).read(0, ROWS, Counted())
    assert all(other.read_bytes() == b"kept" for other in others) and (tmp_path / "folder").is_dir()


def test_a_block_that_was_not_written_whole_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, first, second = shared(tmp_path), Counted(), Counted()
    write = os.pwrite

    def half(descriptor: int, data: memoryview, place: int) -> int:
        return write(descriptor, data[: len(data) // 2] if len(data) > 1 else data, place)

    monkeypatch.setattr(os, "pwrite", half)
    rows.read(0, BLOCK, first)
    monkeypatch.undo()
    np.testing.assert_array_equal(shared(tmp_path).read(0, BLOCK, second), second.values[:BLOCK])
    assert second.calls == [(0, BLOCK)]


def test_a_full_disk_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    compute, rows = Counted(), shared(tmp_path)
    monkeypatch.setattr(os, "pwrite", full)
    for start in (0, 1, BLOCK, 0):
        np.testing.assert_array_equal(rows.read(start, BLOCK + 1, compute), compute.values[start : BLOCK + 1])
    assert set(compute.calls) == {(0, BLOCK), (BLOCK, 2 * BLOCK)}


def test_a_block_asked_for_in_parts_is_computed_once_without_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_rows, "DISK_SHARE", 0.0)
    compute, rows = Counted(), shared(tmp_path)
    for start in range(BLOCK):
        np.testing.assert_array_equal(rows.read(start, start + 1, compute), compute.values[start : start + 1])
    assert compute.calls == [(0, BLOCK)]


def test_rows_too_large_for_the_disk_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_rows, "DISK_SHARE", 0.0)
    compute = Counted()
    shared(tmp_path).read(0, BLOCK, compute)
    assert all(file.stat().st_size == 0 for file in tmp_path.iterdir())


def test_files_of_an_earlier_start_of_the_machine_are_not_believed(tmp_path: Path) -> None:
    compute = Counted()
    shared(tmp_path).read(0, ROWS, compute)
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name(f"0000{file.name[4:]}"))
    shared(tmp_path).read(0, ROWS, compute)
    assert len(compute.calls) == 2 * -(-ROWS // BLOCK)
    assert not list(tmp_path.glob("0000*"))


def test_rows_that_other_code_computed_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared(tmp_path).read(0, ROWS, Counted())
    monkeypatch.setattr(shared_rows, "code_digest", lambda _: "another".ljust(64))
    compute = Counted()
    shared(tmp_path).read(0, ROWS, compute)
    assert len(compute.calls) == -(-ROWS // BLOCK)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_what_is_cut_or_half_removed_is_computed_again(tmp_path: Path, share: float) -> None:
    """As a process leaves it that is killed while it removes the folder, or somebody who makes room by hand."""
    shared(tmp_path).read(0, ROWS, Counted())
    largest = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    if share:
        os.truncate(largest, int(share * largest.stat().st_size))
    else:
        largest.unlink()
    again, after = Counted(), Counted()
    for compute in (again, after):
        np.testing.assert_array_equal(shared(tmp_path).read(0, ROWS, compute), compute.values)
    assert again.calls and not after.calls


def test_a_reference_gives_the_same_rows_with_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kept = write_reference(tmp_path / "toy"), tmp_path / "kept"
    kept.mkdir()
    alone = open_reference(folder)
    assert isinstance(alone, ExactReference)
    for _ in range(2):
        reference = open_reference(folder, kept)
        assert isinstance(reference, ExactReference)
        for window in (4, 1):
            found = reference.logits(window, 5, WINDOW_TOKENS - 1)
            np.testing.assert_allclose(found, alone.logits(window, 5, WINDOW_TOKENS - 1), rtol=0, atol=1e-6)
    reading = open_reference(folder, kept)
    assert isinstance(reading, ExactReference)
    monkeypatch.setattr(ExactReference, "_compute", None)
    reading.logits(1, 0, WINDOW_TOKENS)
