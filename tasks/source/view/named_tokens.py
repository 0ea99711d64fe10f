"""Settles the special tokens that tokenizer_config.json and special_tokens_map.json name, such as `eos_token`.

transformers takes an object for a token only if it has the mark `__type`, and adds a token that the tokenizer lacks.
Files of older releases have objects without the mark, and some name a token for which the model has no row.
"""

from collections.abc import Collection, Mapping
from typing import Any

from tasks.checkpoint.reasons import reason
from tasks.errors import Corrupt
from tasks.source.view.ends import token_text

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
WRITTEN = ("bos_token", "eos_token")
"""Those that stand in prompts and chats. The others are of no use to a model that only continues a text."""

MARK = {"__type": "AddedToken"}


def settle_named(
    config: Mapping[str, Any], known: Mapping[str, int], rows: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the configuration with marked objects and without tokens that have no row, and a note on each of those.

    known: the id of each token of the tokenizer's file, added ones included, by its text.
    rows: the number of the model's tokens; 0 if it is not known.
    Raises Corrupt where the token that begins or ends a text has no row.
    """
    settled, known = dict(config), dict(known)
    notes = []
    # transformers gives a token that it adds the next id.
    following = max(known.values(), default=-1) + 1
    for field in NAMED:
        value = config.get(field)
        text = token_text(value)
        if isinstance(value, dict) and text is not None:
            settled[field] = {**value, **MARK}
        if text is None or text in known:
            continue
        if not rows or following < rows:
            known[text] = following
            following += 1
            continue
        what = (
            f"tokenizer_config.json: {field} is {reason(repr(text))}, which is no token of tokenizer.json, and the "
            "model has no row for another token"
        )
        if field in WRITTEN:
            raise Corrupt(f"{what}; ask the publisher to fix it.")
        del settled[field]
        notes.append(f"{what}; the release leaves it out.")
    return settled, tuple(notes)


def ids_of(pieces: Mapping[str, int], added: Collection[Any]) -> dict[str, int]:
    """Return the id of each token by its text: of the own vocabulary of a tokenizer.json, and of its `added_tokens`."""
    tokens = (token for token in added if isinstance(token, dict))
    return {**pieces, **{str(token["content"]): token["id"] for token in tokens if type(token.get("id")) is int}}
