"""Loads a snapshot with transformers: its configuration, its tokenizer, its model.

No other module of Hallmark does this, except for the serving modules, which travel with artifacts and import nothing of
ours. So the two arguments on which safety rests are written once: `trust_remote_code=False` never runs the repository's
own Python code, and `local_files_only=True` never asks the Hub for a file that the snapshot does not have.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerFast,
    __version__,
)
from transformers.utils.logging import disable_progress_bar

from tasks.checkpoint.model_config import CONFIG, GENERATION
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import FETCH_AGAIN, Corrupt, Unsupported

REFUSALS = (OSError, ValueError, TypeError, KeyError, ImportError, RuntimeError, AttributeError, SafetensorError)
"""What transformers and its libraries raise for files that they do not understand."""


def load_config(folder: Path) -> Any:
    """Return the configuration; raises Corrupt for a config.json that is missing or no JSON, Unsupported for one
    that the installed transformers cannot read.
    """
    if Snapshot(folder).json(CONFIG) is None:
        raise Corrupt(f"The snapshot has no {CONFIG}; {FETCH_AGAIN}.")
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except REFUSALS as error:
        raise Unsupported(
            f"{CONFIG}: transformers {__version__} cannot read it ({_first_line(error)}); release another model."
        ) from error


def load_generation_config(folder: Path) -> Any:
    """Return the settings of generation, None where the snapshot has no generation_config.json; raises Unsupported."""
    content = Snapshot(folder).json(GENERATION)
    if content is None:
        return None
    try:
        return GenerationConfig.from_dict(content)
    except REFUSALS as error:
        raise Unsupported(
            f"{GENERATION}: transformers cannot read it ({_first_line(error)}); ask the publisher to fix it."
        ) from error


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer; raises Unsupported where transformers cannot load it."""
    try:
        named = (Snapshot(folder).json("tokenizer_config.json") or {}).get("tokenizer_class")
        # For some families, AutoTokenizer takes a class of its own whatever the file names.
        loader: Any = PreTrainedTokenizerFast if named == PreTrainedTokenizerFast.__name__ else AutoTokenizer
        return loader.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except REFUSALS as error:
        raise Unsupported(f"transformers cannot load the tokenizer ({_first_line(error)}).") from error


def load_model(folder: Path, dtype: torch.dtype, attention: str | None = None) -> Any:
    """Return the causal language model with weights of type `dtype`, in evaluation mode, on the CPU.

    attention: transformers' name of an implementation of attention; its own choice where None.
    Raises what `load_config` raises, Unsupported where transformers cannot load the weights, and Corrupt where the
    weights lack a parameter or hold one in another shape: transformers would fill it with random numbers.
    """
    disable_progress_bar()
    config = load_config(folder)
    chosen = {} if attention is None else {"attn_implementation": attention}
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            # The mismatch is raised below, with the parameter's name; transformers' own error has none.
            ignore_mismatched_sizes=True,
            **chosen,
        )
    except REFUSALS as error:
        raise Unsupported(
            f"transformers cannot load the weights as a causal language model ({_first_line(error)}); "
            "ask the publisher to fix them."
        ) from error
    for fault, what in (("missing_keys", "lack"), ("mismatched_keys", "hold in another shape than config.json says")):
        # A mismatch comes with its two shapes.
        if wrong := sorted(entry[0] if isinstance(entry, tuple) else str(entry) for entry in loading[fault]):
            raise Corrupt(
                f"The weights {what} {wrong[0]!r} (tensors affected: {len(wrong)}), which would be filled with random "
                "numbers; ask the publisher to fix the repository's weights."
            )
    return model.eval()


def build_without_weights(folder: Path) -> Any:
    """Return the causal language model without memory for its weights (device "meta"); raises as `load_config` does."""
    build: Any = AutoModelForCausalLM
    config = load_config(folder)
    try:
        with torch.device("meta"):
            return build.from_config(config, trust_remote_code=False)
    except REFUSALS as error:
        raise Unsupported(
            f"{CONFIG}: transformers {__version__} cannot build the model that it describes ({_first_line(error)}); "
            "release another model."
        ) from error


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return reason(next((line for line in lines if line), type(error).__name__)).rstrip(".")
