"""The conversion task of safetensors.

It reads every weight of the snapshot, checks that all its values are finite, rounds it to bf16 and writes it into
shards of the chosen size. Duplicates of tied weights are left out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
import transformers

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.companions import NOTICES, copy_companions
from tasks.checkpoint.load import load_tokenizer
from tasks.checkpoint.tensors import read_weights
from tasks.checkpoint.view import open_view
from tasks.contract import TaskContext
from tasks.engines.mlmodel import write_mlmodel
from tasks.engines.transformers.engine import ENGINE
from tasks.engines.transformers.usage import OPENING
from tasks.errors import Corrupt, Unsupported
from tasks.formats.base import ConvertParameters
from tasks.formats.safetensors.inspect import inspect
from tasks.formats.safetensors.shards import split_into_shards, write_shards
from tasks.formats.safetensors.target import Options
from tasks.formats.safetensors.ties import tied_names, without_copies

DTYPE_FIELDS = ("dtype", "torch_dtype")


def convert(parameters: ConvertParameters, context: TaskContext) -> Mapping[str, Any]:
    """Make the target. Return the facts of `inspect`, the source's dtypes, and the tied weights that were left out.

    If the tokenizer puts tokens behind a text, `opening` is the text of those before one.
    """
    options = Options.model_validate(parameters.target.options)
    torch.set_num_threads(context.threads)
    for module in (torch, transformers, safetensors):
        context.version(module.__name__, module.__version__)
    snapshot = context.materialize("snapshot")
    source = open_view(snapshot, context.materialize("analysis"), context.scratch / "source")
    copy_companions(source, context.output)
    copy_companions(snapshot, context.output, NOTICES)
    _write_config(context.output / "config.json")
    weights = read_weights(snapshot)
    kept, left_out = without_copies(weights, tied_names(source))
    shards = split_into_shards(kept, options.shard_size_mb * 1_000_000)
    write_shards(context.output, shards, lambda name, share: context.progress(f"writing {name}", share))
    write_mlmodel(
        context.output,
        format="safetensors",
        requirements=ENGINE.pinned_requirements(),
        engine=ENGINE.serving_file,
    )
    return {
        **inspect(context.output),
        "source_dtypes": sorted({weight.dtype for weight in weights}),
        "tied_copies_left_out": left_out,
        **_opening(context.materialize("analysis"), source),
    }


def _opening(analysis: Path, source: Path) -> dict[str, str]:
    text = Analysis.read_file(analysis / "analysis.json", "analysis.json").text
    if text is None or not text.closing_ids:
        return {}
    tokens = load_tokenizer(source).convert_ids_to_tokens(list(text.opening_ids))
    return {OPENING: "".join(tokens)}


def _write_config(path: Path) -> None:
    """Set the dtype to bfloat16 in config.json and in its sub-configurations. Raises Corrupt or Unsupported."""
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Corrupt(
            f"The snapshot has no readable config.json ({error}); fix it in the source repository."
        ) from error
    if config.get("quantization_config"):
        raise Unsupported("config.json has a quantization_config; release the unquantized model it was made from.")
    if not any(field in config for field in DTYPE_FIELDS):
        config["torch_dtype"] = "bfloat16"
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for field in DTYPE_FIELDS:
            if field in part:
                part[field] = "bfloat16"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
