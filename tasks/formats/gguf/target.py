"""The GGUF format: its targets, their options and predictions.

Recipes and preflight read this module, so it imports no converter and no engine. Example: `gguf-q4_k_m` is made from
`gguf-f16` and `gguf-imatrix`; with the option `imatrix: false` it is made from `gguf-f16` alone.
"""

from pydantic import StrictBool

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.companions import NOTICES, WEIGHTS
from tasks.checkpoint.view import FILES
from tasks.contract import TaskDefinition
from tasks.engines.llama_cpp.engine import ENGINE as LLAMA_CPP
from tasks.errors import InvalidRecipe, Unsupported
from tasks.formats.base import Description, Format, NoOptions, Precision, Prediction, Reading, Target
from tasks.formats.gguf.architectures import supported_architectures
from tasks.formats.gguf.limits import obstacle
from tasks.formats.gguf.quantizations import BLOCK, QUANTIZATIONS, SUPER_BLOCK, bits_of
from tasks.model import Model

F16_SCHEME, IMATRIX_SCHEME = "f16", "imatrix"
F16, IMATRIX = "gguf-f16", "gguf-imatrix"

INHERITED = (
    *("pre_tokenizer", "chats_open", "chats_think", "chats_keep_thoughts"),
    *("context_limit", "verdict_caveats", "caveats"),
)
"""Facts of the F16 file that hold for each file that is made from it."""

# The file also contains the tokenizer: about 30 bytes for each token and 20 for each merge.
BYTES_PER_TOKEN = 50
# Besides the memory-mapped input, a tool holds three copies of one tensor in 32-bit floats. The largest tensor is
# assumed to have at most this share of the model's weights.
TENSOR_COPIES = 3
LARGEST_TENSOR = 0.15
# The size of the importance matrix as a share of the F16 file's.
IMATRIX_SHARE = 0.005


class Options(Model):
    """Options of a quantized target.

    imatrix: whether to weight rounding errors by an importance matrix; None for the default of the type.
    """

    imatrix: StrictBool | None = None


def describe(scheme: str, options: Options | NoOptions) -> Description:
    """Return the inputs of the conversion, and the control of a target with an importance matrix.

    Raises InvalidRecipe if `imatrix` is off for a type that needs it.
    """
    if scheme == F16_SCHEME:
        return Description()
    if scheme == IMATRIX_SCHEME:
        return Description(requires=(F16, "calibration"), servable=False)
    assert isinstance(options, Options)
    quantization = QUANTIZATIONS[scheme]
    if quantization.needs_imatrix and options.imatrix is False:
        raise InvalidRecipe(
            f"The target 'gguf-{scheme}' cannot be made without an importance matrix; remove 'imatrix: false'."
        )
    wanted = quantization.imatrix if options.imatrix is None else options.imatrix
    if not wanted:
        return Description(requires=(F16,))
    if quantization.needs_imatrix:
        return Description(requires=(F16, IMATRIX), no_control=f"{scheme} cannot be made without an importance matrix")
    return Description(requires=(F16, IMATRIX), control={"imatrix": False})


def predict(target: Target, analysis: Analysis) -> Prediction:
    """Return the bytes that the target will need.

    Raises Unsupported if llama.cpp does not support the model, or if the model needs its repository's code. Hallmark
    does not execute that code, so there would be no source model to compare with.
    """
    if analysis.needs_code:
        raise Unsupported(
            f"{analysis.architecture} needs Python code from its repository, which Hallmark never executes; "
            "leave the gguf targets out of the recipe for this model."
        )
    known = supported_architectures()
    if known is not None and analysis.architecture not in known:
        raise Unsupported(
            f"llama.cpp's converter does not know the architecture {analysis.architecture}; "
            "leave the gguf targets out of the recipe for this model."
        )
    if why := obstacle(analysis):
        raise Unsupported(f"{why}; leave the gguf targets out of the recipe for this model.")
    if analysis.tokenizer == "none":
        raise Unsupported(
            "A GGUF file needs a tokenizer, and the repository has no tokenizer that Hallmark reads; "
            "add tokenizer.json to the repository."
        )
    quantization = QUANTIZATIONS.get(target.scheme)
    odd = analysis.matrices_outside_blocks(SUPER_BLOCK)
    if quantization and quantization.fallback_bits is not None and odd == analysis.matrices > 0:
        raise Unsupported(
            f"{target.name} packs {SUPER_BLOCK} weights of a row together, and no matrix of this model has such rows; "
            "choose gguf-q8_0, gguf-q5_0 or gguf-q4_0, which pack 32."
        )
    overhead = BYTES_PER_TOKEN * analysis.vocabulary_size
    source = 2 * analysis.parameters + overhead
    working = int(TENSOR_COPIES * 4 * LARGEST_TENSOR * analysis.parameters)
    if target.scheme == IMATRIX_SCHEME:
        size = int(IMATRIX_SHARE * source)
        # llama-imatrix runs a copy in 8.5 bits a weight, or in 16 where rows do not fit the blocks of that type.
        copy = source if analysis.matrices_outside_blocks(BLOCK) else analysis.parameters * 17 // 16 + overhead
        return Prediction(size_bytes=size, memory_bytes=source + working, disk_bytes=source + copy + size)
    size = source if target.scheme == F16_SCHEME else _quantized_size(target, analysis) + overhead
    read = analysis.weight_bytes if target.scheme == F16_SCHEME else source
    return Prediction(size_bytes=size, memory_bytes=source + working, disk_bytes=read + size)


def _quantized_size(target: Target, analysis: Analysis) -> int:
    """Return the predicted bytes of the weights.

    Layers, embedding and output matrix have different bits per weight; rows that do not divide into blocks of 256 have
    those of the fallback.
    """
    quantization = QUANTIZATIONS[target.scheme]
    embedding = analysis.embedding_parameters
    output = 0 if analysis.tied_embeddings else embedding
    layers = analysis.parameters - embedding - output
    bits, output_bits, embedding_bits = quantization.bits, quantization.output_bits, quantization.embedding_bits
    if quantization.fallback_bits is not None and analysis.matrices:
        odd = analysis.matrices_outside_blocks(SUPER_BLOCK) / analysis.matrices
        bits = (1 - odd) * bits + odd * quantization.fallback_bits
    if analysis.hidden_size % SUPER_BLOCK:
        output_bits = 8.5
        embedding_bits = quantization.fallback_bits or embedding_bits
    if analysis.tied_embeddings:
        embedding_bits = output_bits
    return int((layers * bits + embedding * embedding_bits + output * output_bits) / 8)


FORMAT = Format(
    name="gguf",
    schemes={F16_SCHEME: NoOptions, **dict.fromkeys(QUANTIZATIONS, Options), IMATRIX_SCHEME: NoOptions},
    describe=describe,
    predict=predict,
    makers={
        "llama.cpp": TaskDefinition(
            name="convert",
            function="tasks.formats.gguf.convert:convert",
            parameters="tasks.formats.base:ConvertParameters",
            runtime="torch",
            roots=(LLAMA_CPP.serving,),
            # They are written into the artifact.
            values=LLAMA_CPP.requirements,
            reads={
                "snapshot": (*WEIGHTS, *NOTICES),
                "analysis": FILES,
                F16: ("*.gguf", *NOTICES),
                IMATRIX: ("*.gguf",),
            },
            facts={
                # The model's name, in the file and in its name. Mirrors may have the same bytes under another name.
                "snapshot": ("repository",),
                F16: INHERITED,
                IMATRIX: ("unreached_experts", "unreached_matrices"),
            },
            native=("llama.cpp",),
            # llama-quantize shares the rows of a matrix among its threads.
            threads=8,
        )
    },
    engines=(LLAMA_CPP,),
    precisions={F16_SCHEME: Precision(16), **{name: Precision(bits_of(name)) for name in QUANTIZATIONS}},
    weights=("*.gguf",),
    inspect="tasks.formats.gguf.inspect:inspect",
    tensors=Reading("tasks.formats.gguf.tensors:stored_tensors", "torch", ("llama.cpp",), bases=(IMATRIX,)),
    # The converter is one thread of Python. llama-imatrix runs the model on chunks of text.
    threads={F16_SCHEME: 1, IMATRIX_SCHEME: 16},
    same_weights="tasks.formats.gguf.same_weights:same_weights",
)
