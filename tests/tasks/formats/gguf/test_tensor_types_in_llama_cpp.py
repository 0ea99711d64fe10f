"""The table of tensor types against llama.cpp's own Python package: identifiers, sizes, and where the scales lie."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("torch")

from tasks.engines.llama_cpp.build import llama_cpp
from tasks.formats.gguf.tensor_types import TENSOR_TYPES

pytestmark = pytest.mark.runtime("torch")

BLOCKS = 64
SCALED = [identifier for identifier, kind in TENSOR_TYPES.items() if kind.quantized and kind.halves]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with monkeypatch.context() as patch:
        patch.syspath_prepend(llama_cpp().tree / "gguf-py")
        import_module("gguf.quants")
        yield import_module("gguf")


def test_names_and_sizes(upstream: Any) -> None:
    for identifier, kind in TENSOR_TYPES.items():
        theirs = upstream.GGMLQuantizationType(identifier)
        assert theirs.name.lower() == kind.name
        assert upstream.GGML_QUANT_SIZES[theirs] == (kind.block, kind.bytes)


@pytest.mark.parametrize("identifier", SCALED, ids=lambda identifier: TENSOR_TYPES[identifier].name)
def test_scales_lie_where_the_table_says(upstream: Any, identifier: int) -> None:
    kind, theirs = TENSOR_TYPES[identifier], upstream.GGMLQuantizationType(identifier)
    blocks = np.random.default_rng(identifier).integers(0, 256, (BLOCKS, kind.bytes), dtype=np.uint8)
    for offset in kind.halves:
        blocks[:, offset : offset + 2] = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)
    assert np.isfinite(upstream.quants.dequantize(blocks, theirs)).all()
    for offset in kind.halves:
        broken = blocks.copy()
        broken[5, offset : offset + 2] = np.frombuffer(np.float16(np.nan).tobytes(), np.uint8)
        finite = np.isfinite(upstream.quants.dequantize(broken, theirs)).all(axis=1)
        assert list(np.flatnonzero(~finite)) == [5]
