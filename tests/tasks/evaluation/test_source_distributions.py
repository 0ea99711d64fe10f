"""The output head is stored in the narrowest type that holds it, without a copy of it in memory."""

import threading
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from tasks.evaluation.reference_reader import HEAD_ROWS, expand
from tasks.evaluation.source_distributions import write_head
from tests.tasks.integrity.peak import held

ROWS, WIDTH = 2 * HEAD_ROWS + 5, 48
FINER = 1 + 2.0**-10
"""A number that float16 holds, and bfloat16 does not."""
FINEST = 1 + 2.0**-20
"""A number that only float32 holds."""


@pytest.mark.parametrize("row", [0, HEAD_ROWS, ROWS - 1])
@pytest.mark.parametrize(
    ("number", "name"), [(1.5, "bfloat16"), (FINER, "float16"), (FINEST, "float32"), (float("nan"), "float32")]
)
def test_one_number_decides_the_type(tmp_path: Path, number: float, name: str, row: int) -> None:
    weight = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(7)).to(torch.float8_e4m3fn).float()
    weight[row, 3] = number
    assert write_head(weight, tmp_path / "head.npy") == name
    stored = np.load(tmp_path / "head.npy", mmap_mode="r")
    assert stored.dtype == {"bfloat16": np.uint16, "float16": np.float16, "float32": np.float32}[name]
    np.testing.assert_array_equal(expand(stored, name == "bfloat16"), weight.numpy())


@pytest.mark.parametrize("number", [1.5, FINER, FINEST])
def test_a_large_head_is_copied_in_parts(tmp_path: Path, number: float) -> None:
    weight = torch.full((20_000, 1024), number)
    write_head(weight[:HEAD_ROWS], tmp_path / "warm.npy")
    before = peak = held()
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.001):
            peak = max(peak, held())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    write_head(weight, tmp_path / "head.npy")
    ended.set()
    watcher.join()
    # Two blocks, and the bytes that are written: 4 MB of float32 for each block.
    assert peak - before < 20_000_000 < weight.nbytes / 4
