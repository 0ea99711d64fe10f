"""Loads a snapshot for the ONNX exporter: in fp32, whatever its dtype, and only if it is complete.

transformers fills missing parameters with random numbers and only logs a warning. Here that is an error.
"""

from pathlib import Path
from typing import Any

import torch

from tasks.checkpoint.load import load_config, load_model
from tasks.checkpoint.rotary import rope_type, rotary_parameters
from tasks.errors import Unsupported
from tasks.formats.onnx.limits import check_rotary


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
    # The plan has looked at the file; transformers' classes have defaults of their own.
    check_rotary(rope_type(part) for part in rotary_parameters(vars(config)))
    model = load_model(folder, torch.float32, attention="eager")
    model.requires_grad_(False)
    return model
