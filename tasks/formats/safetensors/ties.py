"""Finds tied weights, so that each is stored once.

Many models use one matrix both as embedding and as output head. Some checkpoints store it twice; the artifact stores it
once, as transformers does when it saves such a model.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tasks.checkpoint.load import build_without_weights
from tasks.checkpoint.tensors import Weight
from tasks.errors import Unsupported


def tied_names(folder: Path) -> Mapping[str, str]:
    """Return the tied parameters of the model in config.json: the name left out to the name kept.

    The model is built on torch's meta device, which allocates no memory for weights.

    Raises Unsupported for an architecture that transformers does not know, or that has no KV cache, which the
    transformers runner needs.
    """
    model = build_without_weights(folder)
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise Unsupported(
            f"{type(model).__name__} has no KV cache (past_key_values), which the transformers runner needs; "
            "leave safetensors-bf16 out of the recipe for this model."
        )
    return dict(model.all_tied_weights_keys)


def without_copies(weights: Sequence[Weight], ties: Mapping[str, str]) -> tuple[list[Weight], list[str]]:
    """Return the weights without duplicates of tied weights, and the sorted names of the duplicates.

    A tied weight is left out only if its bytes equal those of the weight that is kept. If a single bit differs, both
    stay, whatever the configuration says.
    """
    by_name = {weight.name: weight for weight in weights}
    left_out = [
        name
        for name, kept in ties.items()
        if name in by_name and kept in by_name and name != kept and _equal(by_name[name], by_name[kept])
    ]
    return [weight for weight in weights if weight.name not in left_out], sorted(left_out)


def _equal(one: Weight, other: Weight) -> bool:
    """Whether both have the same bits. Equal numbers may differ in them, such as 0 and -0."""
    return (one.dtype, one.shape) == (other.dtype, other.shape) and all(
        torch.equal(piece.view(torch.uint8), beside.view(torch.uint8))
        for piece, beside in zip(one.pieces(), other.pieces(), strict=True)
    )
