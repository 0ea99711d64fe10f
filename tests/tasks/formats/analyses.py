"""The analysis of a small dense model, to be changed in one field by a test."""

from typing import Any

from tasks.checkpoint.analysis import Analysis

DENSE: dict[str, Any] = {
    "architecture": "LlamaForCausalLM",
    "model_type": "llama",
    "parameters": 1_000_000,
    "embedding_parameters": 200_000,
    "dtype": "BF16",
    "weight_format": "safetensors",
    "weight_bytes": 2_000_000,
    "layers": 2,
    "hidden_size": 256,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 64,
    "vocabulary_size": 2048,
    "context_length": 512,
    "tied_embeddings": True,
    "experts": 0,
    "tokenizer": "byte-bpe",
    "chat_template": True,
    "row_lengths": {256: 15},
    "needs_code": False,
}


def analysis_with(**changes: Any) -> Analysis:
    """Return the analysis with some fields changed."""
    return Analysis(**{**DENSE, **changes})
