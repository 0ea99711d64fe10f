"""The ONNX targets: an fp32 graph with its KV cache in and out, and its dynamic int8 quantization."""

from typing import Literal

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.companions import MODEL, NOTICES
from tasks.contract import TaskDefinition
from tasks.engines.onnxruntime.engine import ENGINE as ONNXRUNTIME
from tasks.errors import Unsupported
from tasks.formats.base import Description, Format, Prediction, Target
from tasks.model import Model

FP32, BASE = "fp32", "onnx-fp32"
# torch, transformers and the exporter before any weight is loaded.
LIBRARIES_BYTES = 1_000_000_000
# Peak of a model of 2.4 GB in fp32, less the libraries: 1.9 times its weights, since the exporter's constants
# and the model are alive at once.
EXPORT_COPIES = 2.0
# Peak of a graph of 632 MB in int8, less the libraries: 2.7 times its weights, in the graph and in what is written.
# A base that has its weights in the graph itself is read whole and parsed; another is mapped.
QUANTIZED_COPIES, INLINE_BASE_COPIES = 3, 2

INLINE_BYTES = 1_900_000_000
"""Weights that lie in the graph itself: protobuf's limit is 2 GiB for one message, and the graph needs some of it."""


class Fp32Options(Model):
    """Options of onnx-fp32. `external_data`: weights always in model.onnx.data, or only beyond protobuf's 2 GB."""

    external_data: Literal["auto", "always"] = "auto"


class Int8Options(Model):
    """Options of onnx-int8.

    per_channel: one scale per output channel instead of one per matrix; more exact where channels differ in range.
    reduce_range: 7-bit weights, for processors with AVX2 or AVX-512 but without VNNI, whose 16-bit sums may saturate.
    """

    per_channel: bool = True
    reduce_range: bool = False


def describe(scheme: str, options: Fp32Options | Int8Options) -> Description:
    """Return what the target is made from."""
    return Description(requires=("snapshot",) if scheme == FP32 else (BASE,))


def predict(target: Target, analysis: Analysis) -> Prediction:
    """Return the bytes it will need; raises Unsupported for a model whose kind or code forbids it."""
    if analysis.needs_code:
        raise Unsupported(
            f"{analysis.architecture} needs its repository's own Python code, which the ONNX exporter does not run; "
            "leave the ONNX targets out of the recipe for this model."
        )
    if analysis.experts:
        raise Unsupported(
            f"{analysis.architecture} is a mixture of experts; its ONNX graph would copy the chosen experts' weights "
            "for every token of a prompt. Leave the ONNX targets out of the recipe for this model."
        )
    if not analysis.architecture.endswith(("ForCausalLM", "LMHeadModel")):
        raise Unsupported(f"{analysis.architecture} is no causal language model; only those are exported to ONNX.")
    if analysis.quantization:
        raise Unsupported(
            f"The source is quantized already ({analysis.quantization}); release the model it was made from."
        )
    if analysis.tokenizer == "none":
        raise Unsupported("The snapshot has no tokenizer, without which the ONNX artifact could not be served.")
    fp32 = 4 * analysis.parameters
    if target.name == BASE:
        memory = LIBRARIES_BYTES + int(EXPORT_COPIES * fp32)
        return Prediction(size_bytes=fp32, memory_bytes=memory, disk_bytes=fp32 + analysis.weight_bytes)
    # A tied embedding is held twice: rows for the look-up, and its transpose for the output head.
    int8 = analysis.parameters + (analysis.embedding_parameters if analysis.tied_embeddings else 0)
    inline = fp32 if fp32 < INLINE_BYTES else 0
    memory = LIBRARIES_BYTES + QUANTIZED_COPIES * min(int8, INLINE_BYTES) + INLINE_BASE_COPIES * inline
    return Prediction(size_bytes=int8, memory_bytes=memory, disk_bytes=fp32 + int8)


FORMAT = Format(
    name="onnx",
    schemes={FP32: Fp32Options, "int8": Int8Options},
    describe=describe,
    predict=predict,
    makers={
        "torch": TaskDefinition(
            name="convert",
            function="tasks.formats.onnx.convert:convert",
            parameters="tasks.formats.base:ConvertParameters",
            runtime="torch",
            roots=(ONNXRUNTIME.serving,),
            reads={"snapshot": (*MODEL, *NOTICES)},
        )
    },
    engines=(ONNXRUNTIME,),
    weights=("*.onnx", "*.onnx.data", "*.onnx_data"),
    inspect="tasks.formats.onnx.inspect:inspect",
)
