"""Finds the token embedding and the output head among a model's tensors, by the names that families give them."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from tasks.checkpoint.model_config import ModelConfig
from tasks.checkpoint.tensor import Tensor

EMBEDDING = re.compile(r"(?P<prefix>.*?)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|token_embd)\.weight")
HEAD = re.compile(r"(.*\.)?(lm_head|embed_out|output_layer|output|head|decoder)\.weight")
LAYER = re.compile(r"(?P<prefix>.*?)(layers|h|blocks|layer)\.(?P<number>[0-9]{1,6})\.")
"""How families name their layers, which share the embedding's prefix."""

IMAGE_ROWS = {"mllama": 8, "mllama_text_model": 8}
"""Rows that an embedding has after those of the vocabulary, by model type. They stand for images; the output head has
no such rows."""


class Shaped(Protocol):
    """A tensor, of which only the shape counts here."""

    @property
    def shape(self) -> Sequence[int]:
        """Return the lengths of its dimensions."""


def find_embedding(tensors: Mapping[str, Shaped], tied: bool | None) -> tuple[str, str] | None:
    """Return the token embedding's name and the prefix that the text model's tensors share, or None.

    tied: what config.json says of it and the output head.
    """
    for name, tensor in tensors.items():
        if (match := EMBEDDING.fullmatch(name)) and len(tensor.shape) == 2:
            return name, match["prefix"]
    head = find_lone_head(tensors, tied)
    return (head, _prefix_of_layers(tensors)) if head else None


def find_lone_head(tensors: Mapping[str, Shaped], tied: bool | None) -> str | None:
    """Return the name of an output head that is the token embedding, too, because no other is stored; or None.

    tied: what config.json says of the two. An embedding under a name that is not known here has the head's shape.
    """
    if tied is False or any(EMBEDDING.fullmatch(name) for name in tensors):
        return None
    for name, tensor in tensors.items():
        if HEAD.fullmatch(name) and not LAYER.match(name) and len(tensor.shape) == 2:
            alike = [other for other, found in tensors.items() if tuple(found.shape) == tuple(tensor.shape)]
            return name if alike == [name] else None
    return None


def _prefix_of_layers(tensors: Mapping[str, Shaped]) -> str:
    """Return the prefix of the layers; "" if there are several, such as those of a model that sees images."""
    prefixes = {match["prefix"] for name in tensors if (match := LAYER.match(name))}
    return prefixes.pop() if len(prefixes) == 1 else ""


def count_tokens(config: ModelConfig, embedding: Tensor) -> int:
    """Return how many tokens the vocabulary has, by the rows of its embedding."""
    return max(embedding.shape[0] - IMAGE_ROWS.get(config.model_type, 0), 0)


def find_head(tensors: Mapping[str, Tensor], size: int) -> str | None:
    """Return the name of the output head, a matrix with one row for each of the vocabulary's `size` tokens, or None."""
    for name, tensor in tensors.items():
        if HEAD.fullmatch(name) and len(tensor.shape) == 2 and tensor.shape[0] == size:
            return name
    return None
