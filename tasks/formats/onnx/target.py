"""The ONNX format: `onnx-fp32`, a graph with a KV cache, and two graphs of 8 bits that are made from it.

`onnx-int8` stores weights in blocks. `onnx-int8-dynamic` rounds activations with one scale for a whole tensor.

Recipes and preflight read this module, so it imports neither torch nor onnx.
"""

from typing import Literal

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.companions import NOTICES, WEIGHTS
from tasks.checkpoint.view import FILES
from tasks.contract import TaskDefinition
from tasks.engines.onnxruntime.engine import ENGINE as ONNXRUNTIME
from tasks.formats.base import Description, Format, Precision, Prediction, Reading, Target
from tasks.formats.onnx.limits import check
from tasks.model import Model

FP32, INT8, DYNAMIC, BASE = "fp32", "int8", "int8-dynamic", "onnx-fp32"
# Memory of torch, transformers and the exporter before any weight is loaded.
LIBRARIES_BYTES = 1_000_000_000
# Measured on a model of 2.4 GB in fp32: the peak, less the libraries, is 1.9 times the weights, because the model and
# the exporter's constants are in memory at once.
EXPORT_COPIES = 2.0
# Measured on a dynamic graph of 632 MB: the peak, less the libraries, is 2.7 times the weights; on one of 152 MB with
# weights in blocks: 2.9 times. If the fp32 graph contains its weights itself, they are also read and parsed; weights in
# a file beside the graph are memory-mapped. The comparison of weights takes 2.0 times the weights in its graph, besides
# 50 MB (measured on graphs of 57, 201 and 604 MB), which is less than each conversion takes.
QUANTIZED_COPIES, INLINE_BASE_COPIES = 3, 2

SCALE_BYTES = 4

INLINE_BYTES = 1_900_000_000
"""The most bytes of weights inside a graph. protobuf allows 2 GiB for one message, and the graph itself needs some."""


class Fp32Options(Model):
    """Options of onnx-fp32.

    external_data: "always" puts the weights into the file model.onnx.data; "auto" does so only beyond protobuf's 2 GB.
    """

    external_data: Literal["auto", "always"] = "auto"


class Int8Options(Model):
    """Options of onnx-int8.

    block_size: weights of a row that share a scale. Smaller blocks are more exact, and each scale takes 4 bytes. A row
        is filled up to whole blocks.
    accuracy_level: the operator's own attribute: how exactly activations enter a product. 4 rounds them to 8 bits, in
        blocks of the same size, at run time. 1 keeps them in fp32, but onnxruntime has no kernel for that on a CPU: it
        dequantizes each matrix for each call.
    """

    block_size: Literal[16, 32, 64, 128, 256] = 32
    accuracy_level: Literal[1, 4] = 4


class DynamicOptions(Model):
    """Options of onnx-int8-dynamic, which rounds activations to 8 bits with one scale for a whole tensor.

    It is for engines without onnxruntime's own operators. Outliers in the activations of a large language model cost
    much.

    per_channel: one scale per output channel instead of one per matrix. It is more exact if channels differ in range.
    reduce_range: 7-bit weights, for processors without VNNI, on which 16-bit sums of 8-bit products may saturate.
    """

    per_channel: bool = True
    reduce_range: bool = False


def describe(scheme: str, options: Fp32Options | Int8Options | DynamicOptions) -> Description:
    """Return the inputs of the conversion: the source for fp32, the fp32 graph for the others."""
    return Description() if scheme == FP32 else Description(requires=(BASE,))


def predict(target: Target, analysis: Analysis) -> Prediction:
    """Return the bytes that the target will need; raises Unsupported for a model that cannot be exported."""
    check(analysis)
    fp32 = 4 * analysis.parameters
    if target.scheme == FP32:
        memory = LIBRARIES_BYTES + int(EXPORT_COPIES * fp32)
        return Prediction(size_bytes=fp32, memory_bytes=memory, disk_bytes=fp32 + analysis.weight_bytes)
    int8 = _int8_bytes(target, analysis)
    inline = fp32 if fp32 < INLINE_BYTES else 0
    memory = LIBRARIES_BYTES + QUANTIZED_COPIES * min(int8, INLINE_BYTES) + INLINE_BASE_COPIES * inline
    return Prediction(size_bytes=int8, memory_bytes=memory, disk_bytes=fp32 + int8)


def _int8_bytes(target: Target, analysis: Analysis) -> int:
    """Return the size of a graph of 8 bits."""
    if target.scheme == DYNAMIC:
        # A tied embedding is stored twice: as a table of rows, and transposed for the output head.
        return analysis.parameters + (analysis.embedding_parameters if analysis.tied_embeddings else 0)
    size = Int8Options.model_validate(target.options).block_size
    lengths = analysis.row_lengths.items()
    # The lengths of rows are known, and not how many rows each matrix has: all are taken to have equally many.
    padded = sum(count * -(-length // size) * size for length, count in lengths)
    filled = padded / max(1, sum(count * length for length, count in lengths))
    return int(analysis.parameters * filled * (1 + SCALE_BYTES / size))


FORMAT = Format(
    name="onnx",
    schemes={FP32: Fp32Options, INT8: Int8Options, DYNAMIC: DynamicOptions},
    describe=describe,
    predict=predict,
    makers={
        "torch": TaskDefinition(
            name="convert",
            function="tasks.formats.onnx.convert:convert",
            parameters="tasks.formats.base:ConvertParameters",
            runtime="torch",
            roots=(ONNXRUNTIME.serving,),
            # They are written into the artifact.
            values=ONNXRUNTIME.requirements,
            reads={"snapshot": (*WEIGHTS, *NOTICES), "analysis": FILES},
        )
    },
    engines=(ONNXRUNTIME,),
    # Dynamic quantization rounds the input of every product to 8 bits, too.
    precisions={FP32: Precision(32), INT8: Precision(8), DYNAMIC: Precision(8, activations=8)},
    weights=("*.onnx", "*.onnx.data", "*.onnx_data"),
    inspect="tasks.formats.onnx.inspect:inspect",
    tensors=Reading("tasks.formats.onnx.tensors:stored_tensors", runtime="torch"),
)
