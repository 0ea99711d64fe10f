"""Settles the ids of the tokens that begin and pad a text where a configuration contradicts the tokenizer.

The tokenizer puts these tokens into texts, so it is the truth. An id that a configuration does not name, or names as
null, stays out: nothing contradicts the tokenizer. If the tokenizer names no such token, the configuration's id stays,
and nothing writes it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tasks.checkpoint.reasons import reason

BOS, PAD = "bos_token", "pad_token"


class Own(NamedTuple):
    """A token that the tokenizer names: its text and its id."""

    text: str
    id: int


def own_tokens(tokenizer: Any, vocabulary: Mapping[str, int], rows: int) -> dict[str, Own]:
    """Return BOS and PAD of transformers' tokenizer, as far as it names them and the model has a row for them.

    vocabulary: the id of each token's text. rows: the number of the model's tokens; 0 if it is not known.
    """
    named = {name: str(getattr(tokenizer, name, None)) for name in (BOS, PAD)}
    found = {name: Own(text, vocabulary[text]) for name, text in named.items() if text in vocabulary}
    return {name: own for name, own in found.items() if not rows or own.id < rows}


def follow_tokenizer(
    file: str, content: Mapping[str, Any], own: Mapping[str, Own], names: Iterable[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a configuration that agrees with the tokenizer, at its top and in its `text_config`, and notes on changes.

    own: see own_tokens. names: which of them this file must agree on. `pad_token_id` of config.json is none of them,
    because some architectures count positions from it (XGLM).
    """
    settled, notes = dict(content), list[str]()
    for name in names:
        field = f"{name}_id"
        if name not in own:
            continue
        token = own[name].id
        inner = settled.get("text_config")
        if isinstance(inner, dict) and inner.get(field) not in (None, token):
            notes.append(_note(f"{file}: text_config.{field}", inner[field], name, own[name]))
            settled["text_config"] = {**inner, field: token}
        if settled.get(field) not in (None, token):
            notes.append(_note(f"{file}: {field}", settled[field], name, own[name]))
            settled[field] = token
    return settled, tuple(notes)


def _note(where: str, value: Any, name: str, own: Own) -> str:
    return (
        f"{where} is {value}, and the tokenizer's {name} is {reason(repr(own.text))}, which has the id {own.id}; the "
        f"release uses {own.id}."
    )
