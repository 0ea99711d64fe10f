"""Compares the names and shapes of a checkpoint's weights with the architecture that its configuration describes.

The model stands on the device "meta", which has shapes and no memory. transformers' own loader does the work, because
only it knows how the names of older checkpoints and of separate experts become those of today's classes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.modeling_utils import LoadStateDictConfig
from transformers.utils.logging import disable_progress_bar

from tasks.checkpoint.unused import is_unused

AHEAD = re.compile(r"(.*\.)?mtp\w*\.")
"""Modules that predict further tokens. transformers has none of them, and a model generates without them."""

LAYER = re.compile(r"(.*\.)?layers\.(?P<number>[0-9]{1,6})\.")


@dataclass(frozen=True)
class Differences:
    """How weights differ from their architecture; names are sorted.

    missing: names that the architecture has and the weights lack. unexpected: names that only the weights have.
    mismatched: (name, shape in the weights, shape in the architecture).
    unconverted: (name, reason) of weights that do not become one parameter, such as experts of several shapes.
    """

    missing: Sequence[str]
    unexpected: Sequence[str]
    mismatched: Sequence[tuple[str, Sequence[int], Sequence[int]]]
    unconverted: Sequence[tuple[str, str]]


def compare(model: Any, shapes: Mapping[str, Sequence[int]], extra_layers: int = 0) -> Differences:
    """Return how weights of these shapes differ from `model`, which is on the device "meta" and is spoiled by this.

    extra_layers: how many layers that predict further tokens follow the model's own in the weights.
    Left out are unused tensors (see `is_unused`), tied weights that are stored once, and weights of the extra layers.
    """
    disable_progress_bar()
    weights = {name: torch.empty(tuple(shape), device="meta") for name, shape in shapes.items()}
    config = LoadStateDictConfig(
        ignore_mismatched_sizes=True,
        device_map={"": "meta"},
        dtype=torch.float32,
        weight_mapping=get_model_conversion_mapping(model),
    )
    found, _ = model._load_pretrained_model(model, weights, None, config)
    model.tie_weights(missing_keys=found.missing_keys, recompute_mapping=False)
    model._adjust_missing_and_unexpected_keys(found)
    layers = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    beyond = range(layers, layers + extra_layers)
    return Differences(
        missing=sorted(found.missing_keys),
        unexpected=sorted(
            name for name in found.unexpected_keys if not _is_ignored(name, shapes.get(name, ()), beyond)
        ),
        mismatched=sorted((name, tuple(has), tuple(wants)) for name, has, wants in found.mismatched_keys),
        unconverted=sorted((name, str(why)) for name, why in found.conversion_errors.items()),
    )


def _is_ignored(name: str, shape: Sequence[int], beyond: range) -> bool:
    layer = LAYER.match(name)
    ahead = AHEAD.match(name) or (layer and int(layer["number"]) in beyond)
    return bool(ahead or is_unused(name, shape))
