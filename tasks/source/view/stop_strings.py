"""Settles `stop_strings` of generation_config.json: texts at which the source's own generation stops.

transformers stops when the text ends with one of them, and needs the tokenizer for that. Served artifacts stop only at
tokens. So a stop string that is a token of the vocabulary is an end like others, and a note names the other ones.
"""

from collections.abc import Collection, Mapping
from typing import Any

from tasks.checkpoint.model_config import GENERATION
from tasks.checkpoint.reasons import reason
from tasks.errors import Corrupt

FIELD = "stop_strings"


def read_stop_strings(generation: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stop strings of generation_config.json; raises Corrupt unless they are a text or a list of texts."""
    value = generation.get(FIELD)
    listed = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise Corrupt(
            f"{GENERATION}: {FIELD} is {reason(repr(value))}, and must be a text or a list of texts; ask the publisher "
            "to fix it."
        )
    return tuple(listed)


def stop_notes(stops: Collection[str], vocabulary: Mapping[str, int], marks: Collection[int] | None) -> tuple[str, ...]:
    """Return a note on the stop strings at which artifacts do not always stop: all but added and special tokens.

    vocabulary: the id of each token's text. marks: the ids of added and special tokens; None if they are not known.
    """
    unseen = [text for text in stops if vocabulary.get(text) not in (marks or ())]
    if not unseen:
        return ()
    named = reason(", ".join(map(repr, unseen)))
    return (
        f"{GENERATION}: {FIELD} names {named}, at which transformers stops; the released models stop only at tokens, "
        "so give these texts to the server as stop strings.",
    )
