"""Loads a snapshot as the exporter needs it: in fp32, whatever it was saved in, and with nothing left out."""

from pathlib import Path
from typing import Any

import torch

from tasks.checkpoint.load import load_config, load_model
from tasks.errors import Unsupported

# Their frequencies depend on the length at run time, which a traced graph would freeze at the exporter's example.
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


def load_fp32(folder: Path) -> Any:
    """Return the causal language model of a snapshot in fp32, in evaluation mode, with plain (eager) attention.

    Raises Unsupported for quantized weights and for rotary embeddings that depend on the length, and whatever
    `tasks.checkpoint.load` raises.
    """
    config = load_config(folder)
    if getattr(config, "quantization_config", None):
        raise Unsupported("config.json has a quantization_config; release the unquantized model it was made from.")
    for parameters in _rope_parameters(config):
        if parameters.get("rope_type") in LENGTH_DEPENDENT_ROPE:
            raise Unsupported(
                f"config.json has {parameters['rope_type']!r} rotary positions, which depend on the text's length; "
                "a fixed ONNX graph cannot hold them."
            )
    model = load_model(folder, torch.float32, attention="eager")
    model.requires_grad_(False)
    return model


def _rope_parameters(config: object) -> list[dict[str, object]]:
    """Return the rotary parameters: one set, or one a layer type."""
    found = getattr(config, "rope_parameters", None) or {}
    return [found] if "rope_type" in found else [value for value in found.values() if isinstance(value, dict)]
