"""The lines that the report shows are whole, and name the files that are there."""

import ast

from tasks.engines.transformers.engine import ENGINE
from tasks.engines.transformers.usage import OPENING, not_greedy


def test_the_lines_of_python_parse_and_name_the_artifact_and_the_prompt() -> None:
    found = {usage.title: usage.lines for usage in ENGINE.usage("q4", ["model.safetensors"], {}, "Once upon", None)}
    lines = found["transformers, from Python"]
    ast.parse(lines)
    assert '"q4"' in lines and '"Once upon"' in lines


def test_the_lines_for_a_tokenizer_that_closes_texts_parse() -> None:
    (usage,) = ENGINE.usage(
        "q4", ["model.safetensors"], {OPENING: '<｜s "1">', "not_greedy": ["num_beams"]}, "On", None
    )
    ast.parse(usage.lines)
    assert r'"<｜s \"1\">" + prompt' in usage.lines and "num_beams=1" in usage.lines


def test_only_fields_that_change_greedy_text_are_named() -> None:
    sampled = {"do_sample": True, "temperature": 0.7, "top_k": 20, "eos_token_id": [1, 2], "repetition_penalty": 1.0}
    assert not_greedy({**sampled, "no_repeat_ngram_size": 0, "suppress_tokens": None}) == []
    assert not_greedy({**sampled, "repetition_penalty": 1.05, "num_beams": 4}) == ["num_beams", "repetition_penalty"]
    # transformers refuses several greedy texts.
    assert not_greedy({**sampled, "num_return_sequences": 3}) == ["num_return_sequences"]
