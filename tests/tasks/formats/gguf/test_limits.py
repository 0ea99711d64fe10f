"""What llama.cpp cannot convert is known to the plan, with the number or the file that is in the way."""

from typing import Any

import pytest

from tasks.errors import Unsupported
from tasks.formats.gguf.limits import obstacle
from tasks.formats.gguf.target import FORMAT
from tasks.formats.registry import parse_target
from tests.tasks.formats.analyses import analysis_with


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "PhiForCausalLM", "heads": 4, "kv_heads": 2}, "as many key heads .* has 2 and 4"),
        ({"architecture": "OlmoeForCausalLM", "heads": 4, "kv_heads": 2}, "as many key heads"),
        ({"architecture": "Gemma2ForCausalLM", "tokenizer": "byte-bpe"}, r"only with a tokenizer\.model"),
        ({"architecture": "Ernie4_5ForCausalLM", "tokenizer": "byte-bpe"}, r"only with a tokenizer\.model"),
        ({"architecture": "NemotronForCausalLM", "tokenizer": "byte-bpe"}, r"only with a tokenizer\.model"),
        ({"tokenizer": "unigram"}, r"tokenizer\.json: a Unigram tokenizer chooses the likeliest pieces"),
        ({"tokenizer": "wordpiece"}, "takes a WordPiece tokenizer only for models that generate no text"),
        ({"tokenizer": "wordlevel"}, "a WordLevel tokenizer looks words up whole, and llama.cpp has no"),
        (
            {"architecture": "GPT2LMHeadModel", "row_lengths": {256: 6, 512: 2}},
            r"four times as wide as the model \(1024\)",
        ),
    ],
)
def test_an_obstacle_is_in_the_plan(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unsupported, match=rf"{reason}.*; leave the gguf targets out of the recipe for this model\.$"):
        FORMAT.predict(parse_target("gguf-f16"), analysis_with(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "PhiForCausalLM", "heads": 4, "kv_heads": 4, "row_lengths": {256: 6, 1024: 2}},
        {"architecture": "Gemma2ForCausalLM", "tokenizer": "bpe"},
        {"architecture": "GPT2LMHeadModel", "hidden_size": 0},
        {"architecture": "LlamaForCausalLM", "heads": 4, "kv_heads": 2},
    ],
)
def test_its_neighbours_have_none(changes: dict[str, Any]) -> None:
    assert obstacle(analysis_with(**changes)) is None
