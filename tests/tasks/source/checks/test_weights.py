"""Weights in a type that stands for quantized numbers are refused, unless the configuration says how."""

from pathlib import Path

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.tensor import Tensor
from tasks.errors import Corrupt, Unsupported
from tasks.source.checks.weights import check_weights
from tasks.source.parameters import ScanParameters
from tests.fixtures.checkpoints import make_checkpoint

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)
UP = "model.layers.0.mlp.up_proj.weight"


def snapshot(folder: Path, name: str, dtype: str, **config: object) -> Snapshot:
    """A snapshot of which one tensor has another type."""
    made = Snapshot(make_checkpoint(folder, config=config))
    made.__dict__["tensors"] = {**made.tensors, name: Tensor(dtype, (8, 1), 8, "model.safetensors")}
    return made


@pytest.mark.parametrize("dtype", ["U8", "I8", "F8_E4M3", "I32"])
def test_a_matrix_of_integers_is_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(
        Unsupported, match=rf"^model\.safetensors: the tensor '{UP}' is stored as {dtype}, so it is quan"
    ):
        check_weights(snapshot(tmp_path, UP, dtype), PARAMETERS)


def test_weights_without_a_tensor_are_refused(tmp_path: Path) -> None:
    made = Snapshot(make_checkpoint(tmp_path))
    made.__dict__["tensors"] = {}
    with pytest.raises(Corrupt, match="The weights hold no tensor"):
        check_weights(made, PARAMETERS)


@pytest.mark.parametrize("name", ["model.layers.0.attn.bias", "model.position_ids"])
def test_constants_may_be_integers(tmp_path: Path, name: str) -> None:
    assert check_weights(snapshot(tmp_path, name, "U8"), PARAMETERS)[1] is True


def test_a_quantization_that_is_declared_is_for_the_plan_to_refuse(tmp_path: Path) -> None:
    declared = {"quant_method": "bitsandbytes"}
    assert check_weights(snapshot(tmp_path, UP, "U8", quantization_config=declared), PARAMETERS)[1] is True


def test_a_quantization_of_plain_numbers_is_refused(tmp_path: Path) -> None:
    """As it is left over where adapters that were trained on a quantized model were merged into the plain one."""
    folder = make_checkpoint(tmp_path, config={"quantization_config": {"quant_method": "bitsandbytes"}})
    with pytest.raises(Unsupported, match=r"quantization_config \(bitsandbytes\), and the weights are plain numbers"):
        check_weights(Snapshot(folder), PARAMETERS)


def test_an_empty_quantization_is_none(tmp_path: Path) -> None:
    assert check_weights(Snapshot(make_checkpoint(tmp_path, config={"quantization_config": {}})), PARAMETERS)[1] is True
