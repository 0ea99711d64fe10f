"""Finds the token embedding and the output head among a model's tensors, by the names that families give them."""

import re
from collections.abc import Mapping

from tasks.checkpoint.model_config import ModelConfig
from tasks.checkpoint.tensor import Tensor

EMBEDDING = re.compile(r"(?P<prefix>.*?)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|token_embd)\.weight")
HEAD = re.compile(r"(.*\.)?(lm_head|embed_out|output_layer|output|head|decoder)\.weight")

IMAGE_ROWS = {"mllama": 8, "mllama_text_model": 8}
"""Rows that an embedding has after those of the vocabulary, by model type. They stand for images; the output head has
no such rows."""


def find_embedding(tensors: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return the token embedding's name and the prefix that the text model's tensors share, or None."""
    for name, tensor in tensors.items():
        if (match := EMBEDDING.fullmatch(name)) and len(tensor.shape) == 2:
            return name, match["prefix"]
    return None


def count_tokens(config: ModelConfig, embedding: Tensor) -> int:
    """Return how many tokens the vocabulary has, by the rows of its embedding."""
    return max(embedding.shape[0] - IMAGE_ROWS.get(config.model_type, 0), 0)


def find_head(tensors: Mapping[str, Tensor], size: int) -> str | None:
    """Return the name of the output head, a matrix with one row for each of the vocabulary's `size` tokens, or None."""
    for name, tensor in tensors.items():
        if HEAD.fullmatch(name) and len(tensor.shape) == 2 and tensor.shape[0] == size:
            return name
    return None
