"""The source's numbers come in the order in which a file stores them, whatever the size of a piece."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoint.arrays import Numbers, forget
from tasks.formats.stored import Origin, Part
from tasks.integrity import pieces
from tasks.integrity.pieces import expected_rows

ARRAY = np.random.default_rng(0).normal(0, 1, (6, 8, 10)).astype(np.float32)
VIEWS = {
    "as it is": ARRAY,
    "transposed": ARRAY.reshape(48, 10).T,
    "heads": ARRAY.swapaxes(0, 1),
    "a part": ARRAY[:, 2:4],
    "a vector": ARRAY.reshape(-1)[:470],
}


@pytest.mark.parametrize("piece", [1, 7, 64, 10**6])
@pytest.mark.parametrize("view", VIEWS)
def test_all_numbers_come_once_in_order(view: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", piece)
    bits = VIEWS[view]
    row = bits.shape[-1] if bits.ndim > 1 else 10
    origin = Origin((Part("one", Numbers("F32", bits)), Part("two", Numbers("F32", ARRAY))))
    found = list(expected_rows(origin, row))
    # Less than a row may be left of the piece before.
    assert all(rows.shape[1] == row and rows.size < piece + row for rows in found)
    wanted = np.concatenate((bits.reshape(-1), ARRAY.reshape(-1)))
    assert np.array_equal(np.concatenate([rows.reshape(-1) for rows in found]), wanted)


def test_what_is_computed_is_computed_in_float32() -> None:
    plus = next(expected_rows(Origin((Part("norm", Numbers("F32", ARRAY)),), then="plus one"), 10))
    assert np.array_equal(plus, (ARRAY + np.float32(1)).reshape(-1, 10)) and plus.dtype == np.float32
    minus = next(expected_rows(Origin((Part("a", Numbers("F32", ARRAY)),), then="minus its exponential"), 10))
    assert np.array_equal(minus, -np.exp(ARRAY).reshape(-1, 10))


def test_bfloat16_is_read_by_its_bits() -> None:
    bits = (ARRAY.view(np.uint32) >> 16).astype(np.uint16)
    (rows,) = expected_rows(Origin((Part("one", Numbers("BF16", bits)),)), 10)
    assert np.array_equal(rows.reshape(-1), (bits.astype(np.uint32) << 16).view(np.float32).reshape(-1))


def test_memory_of_a_mapped_file_is_given_back_and_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "numbers").write_bytes(bytes(range(256)) * mmap.PAGESIZE)
    mapped = np.memmap(tmp_path / "numbers", np.uint8, "r")
    view = mapped[mmap.PAGESIZE :].view(np.uint16).reshape(-1, 8)[::2]
    before = int(view.sum(dtype=np.int64))
    held = _held()
    forget(view)
    assert _held() < held - len(mapped) // 2
    assert int(view.sum(dtype=np.int64)) == before
    forget(np.zeros(3))


def _held() -> int:
    """Return the bytes of mapped files that this process holds."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssFile"].split()[0]) * 1024
