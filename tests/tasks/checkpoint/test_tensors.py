"""Weights are read in pieces, from safetensors or pickles, and only those that a model needs."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from safetensors.torch import save_file

from tasks.checkpoint import tensors
from tasks.checkpoint.tensors import have_same_values, read_weights
from tasks.errors import Corrupt, NotFound, Unsupported

STORED = {"model.up.weight": torch.arange(35.0).reshape(5, 7), "model.norm.weight": torch.ones(3)}


def save(folder: Path, stored: dict[str, Any], file: str = "model.safetensors") -> None:
    (save_file if file.endswith("safetensors") else torch.save)(stored, folder / file)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_weight_is_read_in_pieces(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "PIECE", 10)
    save(tmp_path, STORED, file)
    found = {weight.name: weight for weight in read_weights(tmp_path)}
    weight = found["model.up.weight"]
    pieces = list(weight.pieces())
    assert [piece.numel() for piece in pieces] == [10, 10, 10, 5]
    assert torch.equal(torch.cat(pieces).view(5, 7), STORED["model.up.weight"])
    assert (weight.dtype, weight.shape, weight.elements) == ("F32", (5, 7), 35)
    assert [piece.numel() for piece in found["model.norm.weight"].pieces()] == [3]


@pytest.mark.parametrize("place", [0, 19, 34])
def test_tensors_are_the_same_in_their_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.setattr(tensors, "PIECE", 10)
    one = STORED["model.up.weight"]
    other = one.clone()
    other.view(-1)[place] += 1
    save(tmp_path, {"one": one, "same": one.double(), "other": other, "turned": one.T.contiguous()})
    assert have_same_values(tmp_path, "one", "same")
    assert not have_same_values(tmp_path, "one", "other")
    assert not have_same_values(tmp_path, "one", "turned")


def test_a_transposed_tensor_of_a_pickle_is_read_in_the_order_of_its_shape(tmp_path: Path) -> None:
    turned = STORED["model.up.weight"].T
    save(tmp_path, {"model.up.weight": turned}, "pytorch_model.bin")
    (weight,) = read_weights(tmp_path)
    assert weight.shape == (7, 5)
    assert torch.equal(torch.cat(list(weight.pieces())), turned.flatten())


def test_safetensors_are_preferred(tmp_path: Path) -> None:
    save(tmp_path, {"other": torch.zeros(1)}, "pytorch_model.bin")
    save(tmp_path, STORED)
    assert {weight.name for weight in read_weights(tmp_path)} == set(STORED)


def test_what_no_model_needs_is_left_out(tmp_path: Path) -> None:
    unused = {"v_head.summary.weight": torch.ones(1, 3), "model.rotary_emb.inv_freq": torch.ones(4)}
    save(tmp_path, {**STORED, **unused})
    assert {weight.name for weight in read_weights(tmp_path)} == set(STORED)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    ("name", "dtype", "spelled"),
    [
        ("model.up.weight", torch.float8_e4m3fn, "F8_E4M3"),
        ("model.up.weight", torch.int8, "I8"),
        ("model.up.scales", torch.uint16, "U16"),
    ],
)
def test_quantized_weights_are_unsupported(tmp_path: Path, file: str, name: str, dtype: Any, spelled: str) -> None:
    save(tmp_path, {name: torch.zeros(2, 2).to(dtype)}, file)
    with pytest.raises(Unsupported, match=rf"{file}: tensor '{name}' is stored as {spelled}, so the source is quan"):
        read_weights(tmp_path)


def test_integers_beside_the_weights_are_read(tmp_path: Path) -> None:
    save(tmp_path, {**STORED, "model.ids": torch.arange(3)})
    assert {weight.name: weight.dtype for weight in read_weights(tmp_path)}["model.ids"] == "I64"


def test_a_file_that_lost_its_end_while_it_was_read_is_corrupt(tmp_path: Path) -> None:
    save(tmp_path, {"model.up.weight": STORED["model.up.weight"]})
    (weight,) = read_weights(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match=r"model\.safetensors: the file ended within tensor 'model\.up\.weight'"):
        list(weight.pieces())


def test_a_folder_without_weights_has_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="neither model.safetensors nor pytorch_model.bin"):
        read_weights(tmp_path)
