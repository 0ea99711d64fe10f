"""Takes tokenizer.json as the truth where something in it, or beside it, would make a release cut texts otherwise."""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.named_tokens import DECODER, token_text
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.tokenizer_kind import algorithm

FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
"""The flags of an added token that decide where it is found in a text."""

SPLIT = "split_special_tokens"
"""The field of tokenizer_config.json that makes transformers cut special tokens in a text as plain text."""

LENGTHS = ("truncation", "padding")
"""The fields of tokenizer.json that change the length of a text."""


def settle_content(content: Mapping[str, Any], rows: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a parsed tokenizer.json as it serves every reader, and notes on what was left out.

    Dropout is for training: it merges at random. Padding and truncation are for batches. A token without a row fails in
    the embedding of the model. The type of the model is named, because not every reader finds it by the other fields.

    rows: the number of the model's tokens; 0 if it is not known.
    """
    settled, notes = dict(content), list[str]()
    model = content.get("model")
    if isinstance(model, dict) and "type" not in model and (name := algorithm(model)):
        settled["model"] = model = {"type": name, **model}
    if isinstance(model, dict) and model.get("dropout"):
        settled["model"] = {**model, "dropout": None}
        notes.append(f"tokenizer.json: dropout is {model['dropout']}, which is for training; the release has none.")
    if lengths := [field for field in LENGTHS if content.get(field)]:
        settled |= dict.fromkeys(lengths)
        notes.append(f"tokenizer.json sets {' and '.join(lengths)} for batches; the release has none.")
    listed = content.get("added_tokens")
    tokens = [token for token in listed if isinstance(token, dict)] if isinstance(listed, list) else []
    left_out = [token for token in tokens if rows and type(token.get("id")) is int and token["id"] >= rows]
    if left_out:
        settled["added_tokens"] = [token for token in tokens if token not in left_out]
        named = reason(", ".join(repr(token_text(token)) for token in left_out))
        notes.append(f"tokenizer.json adds {named}, and the model has {rows} tokens; the release leaves it out.")
    return settled, tuple(notes)


def follow_file(config: Mapping[str, Any], content: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return tokenizer_config.json with the flags that tokenizer.json gives its added tokens, and notes.

    content: the parsed tokenizer.json.
    """
    settled, notes = dict(config), list[str]()
    if settled.pop(SPLIT, False):
        notes.append(f"tokenizer_config.json: {SPLIT} is left out; tokenizer.json finds special tokens in texts.")
    flags = {
        token["content"]: {flag: token.get(flag, False) for flag in FLAGS}
        for token in content.get("added_tokens") or ()
        if isinstance(token, dict) and isinstance(token.get("content"), str)
    }
    decoder = config.get(DECODER)
    entries = decoder if isinstance(decoder, dict) else {}
    known = {key: token for key, token in entries.items() if isinstance(token, dict) and token.get("content") in flags}
    if known:
        settled[DECODER] = {**entries, **{key: {**token, **flags[token["content"]]} for key, token in known.items()}}
    if unlike := [token["content"] for token in known.values() if _contradicts(token, flags[token["content"]])]:
        named = reason(", ".join(map(repr, unlike)))
        notes.append(f"tokenizer_config.json gives {named} other flags than tokenizer.json, which is the tokenizer.")
    return settled, tuple(notes)


def _contradicts(token: Mapping[str, Any], flags: Mapping[str, bool]) -> bool:
    return any(token.get(flag, value) != value for flag, value in flags.items())
