"""Pickled weights as arrays: the same numbers as torch's own, also of views."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from tasks.checkpoint.arrays import open_numbers, to_float32
from tasks.errors import Unsupported


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int64", "bool"])
def test_a_pickled_tensor_has_torchs_numbers(tmp_path: Path, dtype: str) -> None:
    values = torch.tensor([[1.5, 0.0, -2.0], [0.0, 3.0, 1.0]]).to(getattr(torch, dtype))
    torch.save({"plain": values, "turned": values.T, "one": values[0, 0]}, tmp_path / "pytorch_model.bin")
    found = open_numbers(tmp_path)
    for name, expected in (("plain", values), ("turned", values.T), ("one", values[0, 0])):
        numbers = to_float32(found[name].dtype, found[name].bits)
        assert numbers.tolist() == expected.float().tolist(), name


def test_a_type_of_quantized_weights_is_unsupported(tmp_path: Path) -> None:
    torch.save({"t": torch.zeros(4, dtype=torch.float8_e4m3fn)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(Unsupported, match="'t' is stored as F8_E4M3"):
        open_numbers(tmp_path)
