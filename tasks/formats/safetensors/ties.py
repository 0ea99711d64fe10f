"""Weights that are one and the same: an output head tied to the embedding need not be stored twice."""

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tasks.checkpoint.load import build_without_weights
from tasks.checkpoint.tensors import Weight
from tasks.errors import Unsupported


def tied_names(folder: Path) -> Mapping[str, str]:
    """Return which parameter is tied to which (name to the name it is kept under), for this configuration.

    The model is built without memory for its weights. Raises Unsupported for an architecture that transformers does not
    know, or that the runner could not serve since it keeps its state otherwise than in keys and values.
    """
    model = build_without_weights(folder)
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise Unsupported(
            f"{type(model).__name__} keeps no keys and values from token to token, as the transformers runner needs; "
            "leave safetensors-bf16 out of the recipe for this model."
        )
    return dict(model.all_tied_weights_keys)


def without_copies(weights: Sequence[Weight], ties: Mapping[str, str]) -> tuple[list[Weight], list[str]]:
    """Return the weights without those that the architecture ties to an equal one, and the names left out.

    A copy that differs in a single bit stays: it is then no copy, whatever the configuration says.
    """
    by_name = {weight.name: weight for weight in weights}
    left_out = [
        name
        for name, kept in ties.items()
        if name in by_name and kept in by_name and name != kept and _equal(by_name[name], by_name[kept])
    ]
    return [weight for weight in weights if weight.name not in left_out], sorted(left_out)


def _equal(one: Weight, other: Weight) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape) and _digest(one) == _digest(other)


def _digest(weight: Weight) -> bytes:
    digest = hashlib.sha256()
    for piece in weight.pieces():
        digest.update(piece.contiguous().view(torch.uint8).numpy().data)
    return digest.digest()
