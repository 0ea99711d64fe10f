"""Exports a causal language model to one ONNX graph whose inputs and outputs include the KV cache.

The names are those that serving tools for exported transformers expect. Inputs: input_ids, attention_mask, position_ids
and past_key_values.N.key/value. Outputs: logits and present.N.key/value. The sizes of batch, sequence and past are
dynamic, and the past may be empty.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from tasks.errors import Unsupported
from tasks.formats.onnx.export_names import name_weights

OPSET = 21
# The sizes differ from each other and from 0 and 1. The exporter would take equal sizes for one size, and 0 and 1 for
# constants.
EXAMPLE = {"batch": 2, "sequence": 3, "past": 5}

Pair = tuple[torch.Tensor, torch.Tensor]


class CachedModel(torch.nn.Module):  # type: ignore[misc]  # types are checked in an environment without torch
    """A causal language model as a pure function of its tokens and its KV cache."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor | None, past: list[Pair]
    ) -> tuple[torch.Tensor, ...]:
        """Return logits [batch, sequence, vocabulary], then each layer's key and value [batch, heads, total, width]."""
        positions = {"position_ids": position_ids} if self.takes_positions else {}
        # A cache made without the configuration keeps all positions of every layer. A sliding window is then applied by
        # the attention mask alone.
        cache: Any = DynamicCache(past)
        found = self.model(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **positions
        )
        return (found.logits, *(tensor for layer in cache.layers for tensor in (layer.keys, layer.values)))


def cache_shapes(model: Any) -> list[tuple[int, int, int, int]]:
    """Return (key heads, key width, value heads, value width) of each layer.

    Raises Unsupported if a layer keeps anything but its own keys and values (linear attention, shared layers).
    """
    found = model(input_ids=torch.zeros((1, 2), dtype=torch.int64), use_cache=True)
    cache: Any = getattr(found, "past_key_values", None)
    layers: list[Any] = cache.layers if type(cache) is DynamicCache else []
    if not layers or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        raise Unsupported(
            f"{type(model).__name__} keeps more state than keys and values per layer, which the exported ONNX graph "
            "does not support; leave the ONNX targets out of the recipe for this model."
        )
    return [
        (layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[1], layer.values.shape[3]) for layer in layers
    ]


def export_graph(wrapped: CachedModel, path: Path, external_data: bool) -> None:
    """Write the graph to `path`.

    external_data: put the weights into the file `<name>.data` beside it. Weights beyond protobuf's limit of 2 GB always
        go there.

    Raises Unsupported, with the first line of the exporter's message, if the model cannot be exported.
    """
    shapes = cache_shapes(wrapped.model)
    batch, sequence, past = EXAMPLE["batch"], EXAMPLE["sequence"], EXAMPLE["past"]
    tokens = torch.ones((batch, sequence), dtype=torch.int64)
    positions = torch.arange(past, past + sequence).repeat(batch, 1) if wrapped.takes_positions else None
    example = (
        tokens,
        torch.ones((batch, past + sequence), dtype=torch.int64),
        positions,
        [
            (torch.zeros(batch, key_heads, past, key_width), torch.zeros(batch, value_heads, past, value_width))
            for key_heads, key_width, value_heads, value_width in shapes
        ],
    )
    by_token = {0: "batch_size", 1: "sequence_length"}
    by_past = {0: "batch_size", 2: "past_length"}
    dynamic = (
        by_token,
        {0: "batch_size", 1: "total_length"},
        by_token if wrapped.takes_positions else None,
        [(by_past, by_past)] * len(shapes),
    )
    inputs = ["input_ids", "attention_mask", *(["position_ids"] if wrapped.takes_positions else [])]
    try:
        program = torch.onnx.export(
            wrapped,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=[*inputs, *_cache_names("past_key_values", len(shapes))],
            output_names=["logits", *_cache_names("present", len(shapes))],
            dynamic_shapes=dynamic,
            optimize=False,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise Unsupported(
            f"{type(wrapped.model).__name__} cannot be exported to ONNX: {_cause(error)}; leave the ONNX targets out."
        ) from error
    assert program is not None
    _simplify(program.model)
    name_weights(program.model)
    _strip(program.model)
    program.save(path, external_data=external_data or None)


def _cache_names(prefix: str, layers: int) -> Iterator[str]:
    for layer in range(layers):
        yield from (f"{prefix}.{layer}.key", f"{prefix}.{layer}.value")


def _simplify(model: onnx_ir.Model) -> None:
    """Fold constants, and remove what is there twice or is not used.

    The exporter's own optimizer also tries some fifty patterns on every node. On the 30 layers of SmolLM2-135M that
    took 33 s of a core in place of 2.4 s, and found slices of whole axes only, which onnxruntime removes as it loads
    the graph: its logits and its speed were the same.
    """
    common.InlinePass()(model)
    fold_constants(model, onnx_shape_inference=True)
    onnx_ir.passes.Sequential(
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


def _strip(model: Any) -> None:
    """Remove the exporter's metadata, which contains stack traces with paths of the machine that it ran on."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in (*node.inputs, *node.outputs):
            if value is not None:
                value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost cause, which names the operator. Outer messages only quote files.

    A first line that ends with a colon announces the next one.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:300]
