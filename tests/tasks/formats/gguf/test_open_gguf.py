"""The script knows llama.cpp's structure as the bindings of the same version do."""

import ctypes

import pytest

llama_cpp = pytest.importorskip("llama_cpp")

from tasks.formats.gguf.open_gguf import ModelParameters

pytestmark = pytest.mark.runtime("llama-cpp")


def test_its_fields_are_where_the_bindings_have_them() -> None:
    bound = llama_cpp.llama_model_params
    assert ctypes.sizeof(ModelParameters) == ctypes.sizeof(bound)
    for name, _ in bound._fields_:
        assert getattr(ModelParameters, name).offset == getattr(bound, name).offset, name
