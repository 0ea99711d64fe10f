"""The table of quantizations agrees with itself and with the table of tensor types."""

import pytest

from tasks.formats.gguf.quantizations import QUANTIZATIONS, SUPER_BLOCK, bits_of
from tasks.formats.gguf.tensor_types import TENSOR_TYPES

TYPES = {known.name: known for known in TENSOR_TYPES.values()}


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_bits_lie_between_those_of_the_types_that_the_file_contains(name: str) -> None:
    quantization = QUANTIZATIONS[name]
    bits = [8 * TYPES[kind].bytes / TYPES[kind].block for kind in quantization.types]
    assert min(bits) <= quantization.bits + 0.05 and quantization.bits <= max(bits)
    assert quantization.embedding_bits <= quantization.output_bits or name == "q8_0"


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_a_type_of_large_blocks_and_no_other_has_a_fallback(name: str) -> None:
    quantization = QUANTIZATIONS[name]
    large = any(TYPES[kind].block == SUPER_BLOCK for kind in quantization.types[:1])
    assert (quantization.fallback_bits is not None) == large or name == "iq4_nl"
    assert quantization.imatrix or not quantization.needs_imatrix


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_the_bits_of_the_name_are_those_of_the_main_type(name: str) -> None:
    """A block's own scales and minima come on top: half a bit, or one for a type with minima."""
    kind = TYPES[QUANTIZATIONS[name].types[0]]
    assert 0 <= 8 * kind.bytes / kind.block - bits_of(name) <= 1
