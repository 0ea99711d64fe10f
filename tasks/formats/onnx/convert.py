"""The conversion task of ONNX.

It makes the fp32 graph from the snapshot, or one of the quantized graphs from the fp32 graph. A new fp32 graph is
compared with its source model before it is accepted (see proof.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
import transformers

from tasks.checkpoint.companions import NOTICES, copy_companions
from tasks.checkpoint.load import load_tokenizer
from tasks.checkpoint.view import open_view
from tasks.contract import TaskContext
from tasks.engines.mlmodel import write_mlmodel
from tasks.engines.onnxruntime.engine import ENGINE
from tasks.errors import Unsupported
from tasks.formats.base import ConvertParameters, Target
from tasks.formats.onnx.checkpoint import load_fp32
from tasks.formats.onnx.dynamic import quantize_dynamically
from tasks.formats.onnx.export import CachedModel, export_graph
from tasks.formats.onnx.export_check import check, expect
from tasks.formats.onnx.inspect import check_graph, inspect
from tasks.formats.onnx.target import BASE, DYNAMIC, FP32, DynamicOptions, Fp32Options, Int8Options
from tasks.formats.onnx.weight_only import quantize_weights

DYNAMIC_CAVEAT = (
    "onnx-int8-dynamic rounds activations to 8 bits with one scale for a whole tensor, so outliers in them cost much; "
    "it is for engines without onnxruntime's own operators. For onnxruntime choose onnx-int8."
)


def convert(parameters: ConvertParameters, context: TaskContext) -> Mapping[str, Any]:
    """Make one ONNX target and return its facts.

    The facts are those of `inspect`, and `largest_logit_difference` (fp32) or `quantized_matrices` (the others).
    """
    target = parameters.target
    torch.set_num_threads(context.threads)
    for module in (onnx, onnxruntime):
        context.version(module.__name__, module.__version__)
    facts = _fp32(target, context) if target.scheme == FP32 else _quantized(target, context)
    path = context.output / "model.onnx"
    check_graph(path)
    write_mlmodel(
        context.output,
        format="onnx",
        requirements=ENGINE.pinned_requirements(),
        engine=ENGINE.serving_file,
    )
    return {**inspect(context.output), **facts}


def _fp32(target: Target, context: TaskContext) -> Mapping[str, Any]:
    options = Fp32Options.model_validate(target.options)
    for module in (torch, transformers):
        context.version(module.__name__, module.__version__)
    snapshot = context.materialize("snapshot")
    source = open_view(snapshot, context.materialize("analysis"), context.scratch / "source")
    copy_companions(source, context.output)
    copy_companions(snapshot, context.output, NOTICES)
    _write_tokenizer(context.output)
    context.progress("loading the source in fp32", 0.0)
    wrapped = CachedModel(load_fp32(source)).eval()
    path = context.output / "model.onnx"
    with torch.inference_mode():
        expected = expect(wrapped)
    context.progress("exporting the graph", 0.2)
    with torch.no_grad():
        export_graph(wrapped, path, options.external_data == "always")
    # The proof loads the weights a second time. Without this line, memory would hold them three times.
    del wrapped
    context.progress("comparing the graph with its source", 0.8)
    return {"largest_logit_difference": check(path, expected, context.threads)}


def _quantized(target: Target, context: TaskContext) -> Mapping[str, Any]:
    base = context.materialize(BASE)
    copy_companions(base, context.output)
    context.progress("quantizing the graph", 0.0)
    source, made = base / "model.onnx", context.output / "model.onnx"
    if target.scheme == DYNAMIC:
        options = DynamicOptions.model_validate(target.options)
        count = quantize_dynamically(source, made, context.scratch, options)
        return {"quantized_matrices": count, "caveats": [DYNAMIC_CAVEAT]}
    count = quantize_weights(source, made, Int8Options.model_validate(target.options))
    return {"quantized_matrices": count}


def _write_tokenizer(output: Path) -> None:
    """Write tokenizer.json if the snapshot has only older tokenizer files. The engine reads no other file."""
    if (output / "tokenizer.json").is_file():
        return
    try:
        load_tokenizer(output).backend_tokenizer.save(str(output / "tokenizer.json"))
    except (Unsupported, AttributeError) as error:
        raise Unsupported(
            "The snapshot has no tokenizer.json, and transformers cannot make one from its tokenizer files; "
            "add one to the source repository, or leave the ONNX targets out of the recipe."
        ) from error
