"""How a person runs an artifact in transformers, without MLflow."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.engines.base import Usage

NEUTRAL: Mapping[str, Any] = {
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "dola_layers": None,
    "exponential_decay_length_penalty": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "guidance_scale": 1.0,
    "max_time": None,
    "min_length": 0,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "penalty_alpha": None,
    "repetition_penalty": 1.0,
    "sequence_bias": None,
    "stop_strings": None,
    "suppress_tokens": None,
    "token_healing": False,
    "watermarking_config": None,
}
"""Fields of generation_config.json that change greedy text or do not go with it, and the value with which each changes
nothing."""

NOT_GREEDY = "not_greedy"
"""The fact that names those of an artifact. Its evaluation, and serving by MLflow, take the most likely token."""


OPENING = "opening"
"""The fact of an artifact whose tokenizer puts tokens behind a text: the text of those that it puts before one.

transformers would close a prompt. Its evaluation, and serving by MLflow, never do: nobody continues a text that ended.
"""


def not_greedy(generation: Mapping[str, Any]) -> list[str]:
    """Return the fields of a parsed generation_config.json by which transformers' greedy text is another."""
    return sorted(name for name, value in generation.items() if name in NEUTRAL and value not in (None, NEUTRAL[name]))


def usage(folder: str, files: Sequence[str], facts: Mapping[str, Any], prompt: str, context: int | None) -> list[Usage]:
    """Return the lines for an artifact whose `files` lie in `folder`. They give what was measured."""
    plain = "".join(f", {name}={NEUTRAL[name]}" for name in facts.get(NOT_GREEDY, ()) if name in NEUTRAL)
    options = f"max_new_tokens=64, do_sample=False{plain}"
    lines = f'print(generate("{prompt}", {options})[0]["generated_text"])'
    if OPENING in facts:
        lines = _unclosed(str(facts[OPENING]), prompt, options)
    return [
        Usage(
            "transformers, from Python",
            f'from transformers import pipeline\n\ngenerate = pipeline("text-generation", "{folder}")\n{lines}',
        )
    ]


def _unclosed(opening: str, prompt: str, options: str) -> str:
    """Return the lines that read a prompt behind the opening tokens, and without the closing ones."""
    return (
        "# This tokenizer closes a text, and a prompt goes on.\n"
        f'prompt = "{prompt}"\n'
        f"opened = {json.dumps(opening, ensure_ascii=False)} + prompt\n"
        f"found = generate(opened, add_special_tokens=False, return_full_text=False, {options})\n"
        'print(prompt + found[0]["generated_text"])'
    )
