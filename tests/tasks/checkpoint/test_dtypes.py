"""One table of dtypes, held against the libraries whose names it lists."""

import subprocess
import sys

import pytest

from tasks.checkpoint.dtypes import DTYPES, FLOATS, spell, torch_dtype
from tasks.settings import REPOSITORY


def test_the_table_needs_no_library() -> None:
    program = "import sys; sys.modules['torch'] = None; from tasks.checkpoint import dtypes, headers, snapshot"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_are_unambiguous() -> None:
    assert len({dtype.long_name for dtype in DTYPES.values()}) == len(DTYPES)
    assert set(FLOATS) <= set(DTYPES)


@pytest.mark.runtime("torch")
def test_the_names_are_those_of_the_libraries() -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    for name, dtype in safetensors._TYPES.items():
        if name != "F4":
            assert spell(dtype) == name and torch_dtype(name) == dtype and dtype.itemsize * 8 == DTYPES[name].bits
    assert spell(torch.complex128) is None
    for name in ("F4", "F6_E2M3"):
        with pytest.raises(KeyError, match=name):
            torch_dtype(name)
