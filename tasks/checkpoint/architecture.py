"""Compares the names, shapes and types of a checkpoint's weights with the architecture of its configuration.

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

from tasks.checkpoint.dtypes import FLOATS
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
    beyond = _beyond(model, extra_layers)
    return Differences(
        missing=sorted(found.missing_keys),
        unexpected=sorted(
            name for name in found.unexpected_keys if not _is_ignored(name, shapes.get(name, ()), beyond)
        ),
        mismatched=sorted((name, tuple(has), tuple(wants)) for name, has, wants in found.mismatched_keys),
        unconverted=sorted((name, str(why)) for name, why in found.conversion_errors.items()),
    )


def find_quantized(
    model: Any, stored: Mapping[str, str], shapes: Mapping[str, Sequence[int]], extra_layers: int = 0
) -> list[str]:
    """Return the names of weights that `model` computes with as floats and that are stored in another type.

    stored: the type of every tensor, as safetensors spells it. shapes, extra_layers: as in `compare`.
    Some architectures have integers and masks of their own. These and unused tensors may be stored as what they are.
    """
    own = {name for name, tensor in model.state_dict().items() if not tensor.is_floating_point()}
    dropped = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected or ()]
    beyond = _beyond(model, extra_layers)
    return sorted(
        name
        for name, dtype in stored.items()
        if dtype not in FLOATS
        and not _is_ignored(name, shapes.get(name, ()), beyond)
        and not any(pattern.search(name) for pattern in dropped)
        # A checkpoint of the model below the head leaves out the first part of a name.
        and not any(f".{name}".endswith(f".{other}") or f".{other}".endswith(f".{name}") for other in own)
    )


def _beyond(model: Any, extra_layers: int) -> range:
    layers = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    return range(layers, layers + extra_layers)


def _is_ignored(name: str, shape: Sequence[int], beyond: range) -> bool:
    layer = LAYER.match(name)
    ahead = AHEAD.match(name) or (layer and int(layer["number"]) in beyond)
    return bool(ahead or is_unused(name, shape))
