"""Loads a snapshot as the exporter needs it: in fp32, whatever it was saved in, and with nothing left out."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tasks.errors import Corrupt, Unsupported

# Their frequencies depend on the length at run time, which a traced graph would freeze at the exporter's example.
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


def load_fp32(folder: Path) -> Any:
    """Return the causal language model of a snapshot in fp32, in evaluation mode, with plain (eager) attention.

    Raises Unsupported for quantized weights, rotary embeddings that depend on the length and unknown architectures, and
    Corrupt where the weights lack a parameter or have one of another shape, which transformers would make up at random.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        raise Unsupported(f"transformers does not know the model of config.json: {_first_line(error)}") from error
    if getattr(config, "quantization_config", None):
        raise Unsupported("config.json has a quantization_config; release the unquantized model it was made from.")
    for parameters in _rope_parameters(config):
        if parameters.get("rope_type") in LENGTH_DEPENDENT_ROPE:
            raise Unsupported(
                f"config.json has {parameters['rope_type']!r} rotary positions, which depend on the text's length; "
                "a fixed ONNX graph cannot hold them."
            )
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (ValueError, OSError, RuntimeError) as error:
        raise Unsupported(f"transformers could not load the snapshot: {_first_line(error)}") from error
    model, loading = loaded
    for what in ("missing_keys", "mismatched_keys"):
        if loading[what]:
            names = ", ".join(sorted(map(str, loading[what]))[:3])
            raise Corrupt(f"The weights and config.json disagree ({what.replace('_', ' ')}: {names}); mend the source.")
    model.eval()
    model.requires_grad_(False)
    return model


def _rope_parameters(config: object) -> list[dict[str, object]]:
    """Return the rotary parameters: one set, or one a layer type."""
    found = getattr(config, "rope_parameters", None) or {}
    return [found] if "rope_type" in found else [value for value in found.values() if isinstance(value, dict)]


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
