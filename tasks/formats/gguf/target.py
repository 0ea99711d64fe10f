"""The GGUF format as preflight and recipes see it: names, options, predictions. Imports no tool."""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.analysis import Analysis
from tasks.contract import TaskDefinition
from tasks.errors import InvalidRecipe, Unsupported
from tasks.formats.base import Format, Prediction, Target
from tasks.formats.gguf.architectures import supported_architectures
from tasks.formats.gguf.quantizations import QUANTIZATIONS

F16, IMATRIX = "gguf-f16", "gguf-imatrix"
NAMES = (F16, *(f"gguf-{name}" for name in QUANTIZATIONS), IMATRIX)
NOTICES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "USE_POLICY*")
"""Texts that must travel with the weights and whatever is made of them."""

# What a file holds besides weights: about 30 bytes of text and numbers a token, and 20 a merge.
BYTES_PER_TOKEN = 50
# The largest share of a model that a tool holds in memory on top of the mapped input: one tensor in 32-bit floats.
TENSOR_COPIES = 3
LARGEST_TENSOR = 0.15
IMATRIX_SHARE = 0.005


def parse(name: str, options: Mapping[str, Any]) -> Target:
    """Return the target of a name such as `gguf-q4_k_m`; the option `imatrix` (true, false) overrides its habit."""
    if name not in NAMES:
        raise InvalidRecipe(f"There is no target {name!r} (known: {', '.join(NAMES)}).")
    kind = name.removeprefix("gguf-")
    allowed = ["imatrix"] if kind in QUANTIZATIONS else []
    for option in options:
        if option not in allowed:
            known = f"known: {', '.join(allowed)}" if allowed else "it has none"
            raise InvalidRecipe(f"The target {name!r} has no option {option!r} ({known}).")
    if name == F16:
        return Target(name=name, format="gguf", quantization=kind)
    if name == IMATRIX:
        return Target(name=name, format="gguf", quantization=kind, requires=(F16, "calibration"), servable=False)
    return _quantized(name, kind, options)


def predict(target: Target, analysis: Analysis) -> Prediction:
    """Return what making the target needs, in bytes; raises Unsupported where llama.cpp cannot hold the model, and
    for one that needs its repository's own code, which the source would need to be measured against.
    """
    if analysis.needs_code:
        raise Unsupported(
            f"{analysis.architecture} needs its repository's own Python code, which is not run: there is no source to "
            "measure it against; leave the gguf targets out of the recipe for this model."
        )
    known = supported_architectures()
    if known is not None and analysis.architecture not in known:
        raise Unsupported(
            f"llama.cpp's converter does not know the architecture {analysis.architecture}; "
            "leave the gguf targets out of the recipe for this model."
        )
    if analysis.tokenizer == "none":
        raise Unsupported("A GGUF file holds its tokenizer, and this repository has none; add tokenizer.json to it.")
    quantization = QUANTIZATIONS.get(target.quantization)
    if quantization and quantization.fallback_bits is not None and analysis.odd_rows == analysis.matrices > 0:
        raise Unsupported(
            f"{target.name} packs 256 weights of a row together, and no matrix of this model has such rows; "
            "name gguf-q8_0, gguf-q5_0 or gguf-q4_0, which pack 32."
        )
    overhead = BYTES_PER_TOKEN * analysis.vocabulary_size
    source = 2 * analysis.parameters + overhead
    working = int(TENSOR_COPIES * 4 * LARGEST_TENSOR * analysis.parameters)
    if target.name == IMATRIX:
        size = int(IMATRIX_SHARE * source)
        return Prediction(size_bytes=size, memory_bytes=source + working, disk_bytes=source + size)
    size = source if target.name == F16 else _quantized_size(target, analysis) + overhead
    read = analysis.weight_bytes if target.name == F16 else source
    return Prediction(size_bytes=size, memory_bytes=source + working, disk_bytes=read + size)


def _quantized(name: str, kind: str, options: Mapping[str, Any]) -> Target:
    quantization = QUANTIZATIONS[kind]
    imatrix = options.get("imatrix", quantization.imatrix)
    if not isinstance(imatrix, bool):
        raise InvalidRecipe(f"The target {name!r}: 'imatrix' is true or false, not {imatrix!r}.")
    if quantization.needs_imatrix and not imatrix:
        raise InvalidRecipe(
            f"The target {name!r} cannot be made without an importance matrix; remove 'imatrix: false'."
        )
    requires = (F16, IMATRIX) if imatrix else (F16,)
    return Target(name=name, format="gguf", quantization=kind, requires=requires, options={"imatrix": imatrix})


def _quantized_size(target: Target, analysis: Analysis) -> int:
    """Bytes of the weights: layers, embedding, output each by their own bits, odd rows by their fallback's."""
    quantization = QUANTIZATIONS[target.quantization]
    embedding = analysis.embedding_parameters
    output = 0 if analysis.tied_embeddings else embedding
    layers = analysis.parameters - embedding - output
    bits, output_bits, embedding_bits = quantization.bits, quantization.output_bits, quantization.embedding_bits
    if quantization.fallback_bits is not None and analysis.matrices:
        odd = analysis.odd_rows / analysis.matrices
        bits = (1 - odd) * bits + odd * quantization.fallback_bits
    if analysis.hidden_size % 256:
        output_bits = 8.5
        embedding_bits = quantization.fallback_bits or embedding_bits
    if analysis.tied_embeddings:
        embedding_bits = output_bits
    return int((layers * bits + embedding * embedding_bits + output * output_bits) / 8)


FORMAT = Format(
    name="gguf",
    names=NAMES,
    parse=parse,
    predict=predict,
    convert=TaskDefinition(
        name="convert",
        function="tasks.formats.gguf.convert:convert",
        parameters="tasks.formats.base:ConvertParameters",
        runtime="torch",
        code=("tasks/formats/gguf", "tasks/engines/text_model.py", "tasks/engines/mlmodel.py"),
        reads={
            "snapshot": (
                "config.json",
                "generation_config.json",
                "*.safetensors",
                "*.safetensors.index.json",
                "pytorch_model*",
                "tokenizer*",
                "special_tokens_map.json",
                "added_tokens.json",
                "vocab.*",
                "merges.txt",
                "*.model",
                "chat_template*",
                *NOTICES,
            ),
            F16: ("*.gguf", *NOTICES),
            IMATRIX: ("*.gguf",),
        },
        native=("llama.cpp",),
    ),
    serve_runtime="llama-cpp",
    runner="tasks.engines.llama_cpp.runner:open_runner",
    inspect="tasks.formats.gguf.inspect:inspect",
)
