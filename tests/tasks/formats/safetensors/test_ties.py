"""Tied weights are stored once, unless a single bit differs."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tasks.checkpoint.tensors import Weight
from tasks.errors import Unsupported
from tasks.formats.safetensors.ties import tied_names, without_copies
from tests.fixtures.tiny_checkpoint import SIZES, tiny_llama

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
TIES = {HEAD: EMBEDDING}


def weight(name: str, values: Any, dtype: str = "F32") -> Weight:
    return Weight(name, dtype, tuple(values.shape), values, Path("x"))


def copies(head: Any, ties: Any = None, dtype: str = "F32") -> list[str]:
    weights = [weight(EMBEDDING, torch.arange(6.0).view(2, 3)), weight(HEAD, head, dtype)]
    kept, left_out = without_copies(weights, TIES if ties is None else ties)
    assert sorted([*(one.name for one in kept), *left_out]) == sorted(one.name for one in weights)
    return left_out


def test_a_copy_is_left_out() -> None:
    assert copies(torch.arange(6.0).view(2, 3)) == [HEAD]


def test_what_differs_in_one_bit_shape_or_type_stays() -> None:
    other = torch.arange(6.0).view(2, 3)
    other[0, 0] = -0.0
    assert copies(other) == []
    assert copies(torch.arange(6.0).view(3, 2)) == []
    assert copies(torch.arange(6.0).view(2, 3).view(torch.int32), dtype="I32") == []


def test_what_no_tie_names_stays() -> None:
    same = torch.arange(6.0).view(2, 3)
    for ties in ({}, {HEAD: HEAD}, {HEAD: "missing"}, {"missing": EMBEDDING}):
        assert copies(same, ties) == []


@pytest.mark.parametrize(("tied", "names"), [(True, TIES), (False, {})])
def test_the_names_are_those_of_the_model_in_the_configuration(
    tmp_path: Path, tied: bool, names: dict[str, str]
) -> None:
    tiny_llama(tie_word_embeddings=tied, architectures=["LlamaForCausalLM"]).save_pretrained(tmp_path)
    assert tied_names(tmp_path) == names


def test_a_model_without_a_cache_of_keys_and_values_is_unsupported(tmp_path: Path) -> None:
    sizes = {name: value for name, value in SIZES.items() if name in ("vocab_size", "hidden_size", "num_hidden_layers")}
    transformers.MambaConfig(**sizes, architectures=["MambaForCausalLM"]).save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match="MambaForCausalLM has no KV cache"):
        tied_names(tmp_path)
