"""Settles `tie_word_embeddings` in config.json where the weights hold an output head of their own.

Such models come from a training of embedding and head that leaves config.json as it was, such as LoRA with
`modules_to_save`. transformers 5 then looks at the weights. Older releases and other servers believe config.json: they
drop the trained head, and the model writes nonsense.
"""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.embedding import LAYER, count_tokens, find_embedding, find_head
from tasks.checkpoint.known_models import ties_head_alone, ties_unless_told
from tasks.checkpoint.model_config import CONFIG
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.special_ids import parts
from tasks.checkpoint.stored_head import is_embedding

FIELD = "tie_word_embeddings"


def untie_own_head(snapshot: Snapshot, config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return config.json without a tie, at its top and in its `text_config`, if the head is another matrix; and a note.

    Raises Corrupt or Refused for weights that cannot be read.
    """
    tying = [where for where, part in parts(CONFIG, config) if _ties(part)]
    if not tying or not ties_head_alone(snapshot.config.model_type):
        return dict(config), ()
    head = _own_head(snapshot)
    if head is None:
        return dict(config), ()
    settled, *inner = ({**part, FIELD: False} if _ties(part) else dict(part) for _, part in parts(CONFIG, config))
    note = (
        f"{tying[0]}{FIELD} ties the output head to the embedding, but the weights have another matrix as {head!r}; "
        f"the release says {FIELD}: false, so that every server reads this head."
    )
    return {**settled, "text_config": inner[0]} if inner else settled, (note,)


def _ties(part: Mapping[str, Any]) -> bool:
    """Whether a configuration ties the two; one that does not say is taken as transformers takes it."""
    value = part.get(FIELD)
    return ties_unless_told(str(part.get("model_type"))) if value is None else value is True


def _own_head(snapshot: Snapshot) -> str | None:
    """Return the name of a head that is stored beside an embedding with other values, or None."""
    config = snapshot.config
    # Layers that predict further tokens may have a head of their own.
    tensors = {name: tensor for name, tensor in snapshot.tensors.items() if not LAYER.match(name)}
    found = find_embedding(tensors, config.tied)
    head = find_head(tensors, count_tokens(config, tensors[found[0]])) if found else None
    if found is None or head is None or head == found[0] or is_embedding(snapshot, found[0], head):
        return None
    return head
