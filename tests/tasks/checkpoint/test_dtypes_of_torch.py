"""The table of dtypes, compared with the libraries whose names it lists."""

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from tasks.checkpoint.dtypes import DTYPES, spell, torch_dtype


def test_the_names_are_those_of_the_libraries() -> None:
    for name, dtype in safetensors._TYPES.items():
        if name != "F4":
            assert spell(dtype) == name and torch_dtype(name) == dtype and dtype.itemsize * 8 == DTYPES[name].bits
    assert spell(torch.complex128) is None
    for name in ("F4", "F6_E2M3"):
        with pytest.raises(KeyError, match=name):
            torch_dtype(name)
