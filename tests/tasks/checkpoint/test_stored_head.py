"""A stored head is the embedding if it has the same numbers, in whatever type."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.stored_head import is_embedding
from tests.fixtures.checkpoints import HIDDEN, VOCABULARY, llama_tensors, make_checkpoint

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.mark.parametrize(
    ("dtype", "difference", "one"),
    [("bfloat16", 0, True), ("float32", 0, True), ("bfloat16", 1, False), ("float8_e4m3fn", 1, True)],
)
def test_the_numbers_decide_unless_they_are_quantized(tmp_path: Path, dtype: str, difference: int, one: bool) -> None:
    head = llama_tensors()[EMBEDDING].copy()
    head[-1, -1] += difference
    make_checkpoint(tmp_path, tensors={HEAD: head})
    stored = load_file(tmp_path / "model.safetensors")
    save_file({**stored, HEAD: stored[HEAD].to(getattr(torch, dtype))}, tmp_path / "model.safetensors")
    assert is_embedding(Snapshot(tmp_path), EMBEDDING, HEAD) is one


def test_a_matrix_of_another_shape_is_another_one(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, tensors={HEAD: np.ones((VOCABULARY + 1, HIDDEN), np.float32)})
    assert not is_embedding(Snapshot(tmp_path), EMBEDDING, HEAD)
