"""What a safetensors artifact stores: the source's tensors by their names, and why a tensor is not there."""

from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoint.arrays import open_numbers
from tasks.errors import Corrupt
from tasks.formats.safetensors.tensors import UNUSED, stored_tensors
from tasks.formats.stored import BFLOAT16, FLOAT32, Content, Source
from tests.fixtures.checkpoints import write_weights
from tests.tasks.formats.analyses import analysis_with

HEAD, EMBEDDING, NORM = "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"
MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3)
ALL = {EMBEDDING: MATRIX, HEAD: MATRIX, NORM: np.ones(3, np.float32)}


def content(
    folder: Path, kept: dict[str, np.ndarray], source: dict[str, np.ndarray] = ALL, dtype: str = "bfloat16"
) -> Content:
    """Write an artifact and its source, and return what the artifact stores."""
    for name, tensors, kind in (("source", source, "float32"), ("artifact", kept, dtype)):
        (folder / name).mkdir()
        write_weights(folder / name, tensors, dtype=kind)
    return stored_tensors(folder / "artifact", Source(open_numbers(folder / "source"), {}, analysis_with()), {})


def without(name: str) -> dict[str, np.ndarray]:
    return {other: values for other, values in ALL.items() if other != name}


@pytest.mark.parametrize(("dtype", "grid"), [("bfloat16", BFLOAT16), ("float32", FLOAT32)])
def test_a_tensor_holds_that_of_its_name(tmp_path: Path, dtype: str, grid: object) -> None:
    found = content(tmp_path, ALL, dtype=dtype)
    assert found.dropped == {} and found.known
    for tensor in found.tensors:
        assert tensor.origin is not None
        (part,) = tensor.origin.parts
        assert (part.source, tensor.shape, tensor.grid) == (tensor.name, ALL[tensor.name].shape, grid)
        assert tensor.read(0, 9).tolist() == ALL[tensor.name].reshape(-1, 3).tolist()
    (embedding,) = (tensor for tensor in found.tensors if tensor.name == EMBEDDING)
    assert embedding.read(1, 3).tolist() == MATRIX[1:3].tolist()


def test_a_name_that_the_source_lacks_has_no_origin(tmp_path: Path) -> None:
    (added,) = (one for one in content(tmp_path, {**ALL, "more.weight": MATRIX}).tensors if one.name == "more.weight")
    assert added.origin is None


@pytest.mark.parametrize(("left_out", "kept"), [(HEAD, EMBEDDING), (EMBEDDING, HEAD)])
def test_a_tied_copy_may_be_left_out(tmp_path: Path, left_out: str, kept: str) -> None:
    found = content(tmp_path, without(left_out))
    assert found.dropped == {left_out: f"the same numbers as {kept}, to which it is tied"}


def test_a_head_of_its_own_may_not(tmp_path: Path) -> None:
    assert content(tmp_path, without(HEAD), {**ALL, HEAD: MATRIX + 1}).dropped == {}


def test_equal_numbers_of_other_tensors_are_no_tie(tmp_path: Path) -> None:
    norms = {"model.a.weight": MATRIX, "model.b.weight": MATRIX}
    assert content(tmp_path, {"model.a.weight": MATRIX}, norms).dropped == {}


@pytest.mark.parametrize("other", [EMBEDDING, HEAD])
def test_a_tensor_that_equals_the_embedding_by_chance_is_no_tie(tmp_path: Path, other: str) -> None:
    assert content(tmp_path, {other: MATRIX}, {other: MATRIX, "model.a.weight": MATRIX}).dropped == {}


def test_what_no_model_needs_is_left_out_with_its_reason(tmp_path: Path) -> None:
    unused = {"model.rotary_emb.inv_freq": np.ones(4, np.float32)}
    assert content(tmp_path, ALL, {**ALL, **unused}).dropped == dict.fromkeys(unused, UNUSED)


def test_a_malformed_header_is_corrupt(tmp_path: Path) -> None:
    content(tmp_path, ALL)
    path = tmp_path / "artifact" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(Corrupt):
        stored_tensors(path.parent, Source({}, {}, analysis_with()), {})
