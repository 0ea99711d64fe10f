"""Loads a snapshot for the ONNX exporter: in fp32, whatever its dtype, and only if it is complete.

transformers fills missing parameters with random numbers and only logs a warning. Here that is an error.
"""

from pathlib import Path
from typing import Any

import torch

from tasks.checkpoint.load import load_config, load_model
from tasks.errors import Unsupported

# Their frequencies depend on the length of the text. A traced graph would freeze them at the length of the example.
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


def load_fp32(folder: Path) -> Any:
    """Return the causal language model of a snapshot in fp32, in evaluation mode, with plain (eager) attention.

    Raises Unsupported for quantized weights, and for rotary embeddings that depend on the length of the text. Also
    raises the errors of `tasks.checkpoint.load`.
    """
    config = load_config(folder)
    if getattr(config, "quantization_config", None):
        raise Unsupported(
            "config.json has a quantization_config; release the unquantized model from which it was made."
        )
    for parameters in _rope_parameters(config):
        if parameters.get("rope_type") in LENGTH_DEPENDENT_ROPE:
            raise Unsupported(
                f"config.json has {parameters['rope_type']!r} rotary positions, which depend on the text's length "
                "and cannot be exported to ONNX; leave the ONNX targets out of the recipe for this model."
            )
    model = load_model(folder, torch.float32, attention="eager")
    model.requires_grad_(False)
    return model


def _rope_parameters(config: object) -> list[dict[str, object]]:
    """Return the sets of rotary parameters: a single set, or one for each type of layer."""
    found = getattr(config, "rope_parameters", None) or {}
    return [found] if "rope_type" in found else [value for value in found.values() if isinstance(value, dict)]
