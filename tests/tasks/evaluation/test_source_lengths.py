from types import SimpleNamespace
from typing import Any

import pytest

from tasks.evaluation.source_lengths import lengths_of_change, long_window_tokens, original_length, windows


@pytest.mark.parametrize(
    ("config", "lengths"),
    [
        ({}, []),
        ({"max_position_embeddings": 512, "sliding_window": 300}, [300]),
        ({"max_position_embeddings": 512, "sliding_window": None}, []),
        # Beyond the context, and at its end, nothing can change.
        ({"max_position_embeddings": 512, "sliding_window": 512}, []),
        ({"max_position_embeddings": None, "attention_chunk_size": 8192}, [8192]),
        (
            {
                "max_position_embeddings": 8192,
                "original_max_position_embeddings": 2048,
                "rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 2048.0},
                "sliding_window": 100,
            },
            [100, 2048],
        ),
        (
            {
                "max_position_embeddings": 8192,
                "rope_parameters": {
                    "full_attention": {"rope_type": "yarn", "original_max_position_embeddings": 4096},
                    "sliding_attention": {"rope_type": "default"},
                },
            },
            # The factors of yarn and llama3 are the same at every length.
            [],
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_parameters": {"rope_type": "llama3", "original_max_position_embeddings": 8192},
            },
            [],
        ),
        (
            {
                "max_position_embeddings": 8192,
                "rope_parameters": {
                    "full_attention": {"rope_type": "dynamic", "original_max_position_embeddings": 4096}
                },
            },
            [4096],
        ),
        (
            {
                "max_position_embeddings": 8192,
                "original_max_position_embeddings": 4096,
                "rope_scaling": {"type": "longrope"},
            },
            [4096],
        ),
        ({"max_position_embeddings": 512, "sliding_window": "300"}, []),
        (
            {
                "max_position_embeddings": 262144,
                "rope_parameters": {
                    "rope_type": "yarn",
                    "original_max_position_embeddings": 16384,
                    "llama_4_scaling_beta": 0.1,
                },
            },
            [16384],
        ),
        (
            {
                "max_position_embeddings": 8192,
                "rope_parameters": {
                    "rope_type": "yarn",
                    "original_max_position_embeddings": 4096,
                    "llama_4_scaling_beta": None,
                },
            },
            [],
        ),
        ({"max_position_embeddings": 8192, "index_topk": 2048}, [2048]),
        # Not beyond 512 tokens, but beyond 512 groups of four; groups are seen once they are whole.
        (
            {
                "max_position_embeddings": 8192,
                "index_topk": 512,
                "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128},
            },
            [4, 128, 2048],
        ),
        ({"max_position_embeddings": 8192, "index_topk_blocks": 16, "index_block_size": 128}, [2048]),
        ({"max_position_embeddings": 8192, "index_topk": 512, "compress_rates": [4, 128]}, [512]),
        ({"max_position_embeddings": 8192, "index_topk_blocks": None, "index_block_size": 128}, []),
    ],
)
def test_lengths_come_from_the_configuration_and_its_rotary_positions(
    config: dict[str, Any], lengths: list[int]
) -> None:
    assert lengths_of_change(SimpleNamespace(**config)) == lengths


@pytest.mark.parametrize(("kind", "length"), [("longrope", 2048), ("dynamic", None), ("yarn", None)])
def test_only_longrope_has_two_sets_of_factors(kind: str, length: int | None) -> None:
    rotary = {"rope_type": kind, "original_max_position_embeddings": 2048}
    assert original_length(SimpleNamespace(rope_parameters=rotary)) == length


@pytest.mark.parametrize(
    ("changes", "context", "limit", "tokens"),
    [
        ([300], 512, 4608, 512),
        ([], 512, 512, 512),
        ([4096], 32768, 4608, 4608),
        ([1024, 4096], 32768, 4000, 1536),
        ([8192], 131072, 4608, 2048),
        ([], 131072, 4608, 2048),
        ([], 131072, 1000, 1000),
        ([300], 512, 0, 0),
    ],
)
def test_the_window_crosses_what_the_limit_allows(changes: list[int], context: int, limit: int, tokens: int) -> None:
    assert long_window_tokens(changes, context, limit) == tokens


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"max_position_embeddings": 512, "sliding_window": 300}, [300]),
        ({"max_position_embeddings": 512, "sliding_window": 300, "attention_chunk_size": 200}, [200, 300]),
        ({"max_position_embeddings": 512, "sliding_window": 512}, []),
        ({"max_position_embeddings": 512, "sliding_window": 300, "layer_types": ["full_attention"] * 2}, []),
        (
            {
                "max_position_embeddings": 512,
                "sliding_window": 300,
                "layer_types": ["full_attention", "sliding_attention"],
            },
            [300],
        ),
        (
            {"max_position_embeddings": 512, "sliding_window_size": 300, "layer_types": ["hybrid_sliding", "hybrid"]},
            [300],
        ),
        # It scales the attention, and hides no token.
        ({"max_position_embeddings": 512, "floor_scale": 300}, []),
    ],
)
def test_windows_are_those_that_a_layer_uses(config: dict[str, Any], found: list[int]) -> None:
    class Config(SimpleNamespace):
        sliding_window = sliding_window_size = attention_chunk_size = layer_types = None

    assert windows(Config(**config)) == found
    assert windows(SimpleNamespace(**config)) == [], "the class has no such field"


def test_types_of_layers_that_the_class_does_not_have_are_left_over() -> None:
    class Config(SimpleNamespace):
        sliding_window = None

    config = Config(max_position_embeddings=512, sliding_window=300, layer_types=["full_attention"] * 2)
    assert windows(config) == [300]
