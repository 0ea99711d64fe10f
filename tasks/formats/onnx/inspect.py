"""Reads the facts of an ONNX artifact without an engine, and checks that it is safe to load.

An engine trusts its files, so a malformed or malicious graph must be rejected here, before the engine loads it.
"""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.formats.onnx.blocks import DOMAIN, LOOK_UP, PRODUCT, fault, unsqueezed
from tasks.formats.onnx.external_data import external_files, nodes, read_graph, tensors, text_of

STANDARD = {"", "ai.onnx"}
"""The names of the domain of the operators that onnx itself defines."""

BLOCKED = ((DOMAIN, PRODUCT), (DOMAIN, LOOK_UP))
"""The operators of onnxruntime's own domain that are allowed."""

RESHAPED = ("Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators whose result has the numbers of their first input."""

QUANTIZED = ("MatMulInteger", PRODUCT)
"""The products with a quantized constant."""

NEEDED = ("config.json", "tokenizer.json")


def inspect(folder: Path) -> Mapping[str, Any]:
    """Return the facts of the artifact.

    `files`: the names of the files with weights; `opset`: the version of ONNX's operators; `inputs`: their names,
    without the KV cache; `layers`, `nodes`, `integer_products` (8-bit activations) and `block_products` (weights in
    blocks): counts.

    Raises Corrupt for a graph that does not parse, for external data outside the folder, for operators that neither
    onnx defines nor blocks.py describes, for quantized constants of a wrong shape, for a graph that is only partly
    quantized, and for a missing KV cache, configuration or tokenizer.
    """
    for name in NEEDED:
        if not (folder / name).is_file():
            raise Corrupt(f"The artifact has no {name}, so it cannot be served; {MAKE_AGAIN}.")
    path = folder / "model.onnx"
    if not path.is_file():
        raise Corrupt(f"The artifact has no model.onnx; {MAKE_AGAIN}.")
    model = read_graph(path)
    inputs = [text_of(value.name) for value in model.graph.input]
    outputs = [text_of(value.name) for value in model.graph.output]
    pasts = [name for name in inputs if name.startswith("past_key_values.")]
    expected = ["logits", *(name.replace("past_key_values", "present") for name in pasts)]
    if "input_ids" not in inputs or not pasts or outputs != expected:
        raise Corrupt(
            f"model.onnx has the outputs {reprlib.repr(outputs)}, which do not match its inputs "
            f"{reprlib.repr(inputs)}; {MAKE_AGAIN}."
        )
    if foreign := _foreign(model):
        raise Corrupt(
            f"model.onnx uses operators of {reprlib.repr(foreign)}, which other ONNX engines lack; {MAKE_AGAIN}."
        )
    check_blocks(model)
    _check_wholly_quantized(model)
    if not model.opset_import:
        raise Corrupt(f"model.onnx does not state the version of ONNX's operators; {MAKE_AGAIN}.")
    return {
        "files": ["model.onnx", *external_files(model)],
        "opset": model.opset_import[0].version,
        "inputs": [name for name in inputs if name not in pasts],
        "layers": len(pasts) // 2,
        "nodes": len(model.graph.node),
        "integer_products": sum(node.op_type == "MatMulInteger" for node in model.graph.node),
        "block_products": sum(node.op_type == PRODUCT for node in model.graph.node),
    }


def float_matrices(model: onnx.ModelProto) -> list[str]:
    """Return the names of the float constants with rows and columns that are multiplied from the right or looked up."""
    constants = {
        text_of(tensor.name)
        for tensor in tensors(model)
        if tensor.data_type == onnx.TensorProto.FLOAT and sum(size != 1 for size in tensor.dims) > 1
    }
    found = []
    for node in nodes(model):
        place = {"MatMul": 1, "Gemm": 1, "Gather": 0}.get(node.op_type)
        if node.op_type in RESHAPED and node.input and text_of(node.input[0]) in constants:
            constants.update(map(text_of, node.output))
        elif place is not None and place < len(node.input) and text_of(node.input[place]) in constants:
            found.append(text_of(node.input[place]))
    return found


def _foreign(model: onnx.ModelProto) -> list[str]:
    """Return the domains of operators that neither onnx defines nor blocks.py describes, sorted."""
    used = [text_of(node.domain) for node in nodes(model) if (text_of(node.domain), node.op_type) not in BLOCKED]
    used += [text_of(function.domain) for function in model.functions]
    used += [domain for entry in model.opset_import if (domain := text_of(entry.domain)) != DOMAIN]
    return sorted(set(used) - STANDARD)


def check_blocks(model: onnx.ModelProto) -> None:
    """Raise Corrupt for a product or a look-up whose constants have not the layout of blocks.py."""
    constants = {text_of(tensor.name): tensor for tensor in model.graph.initializer}
    made_of = unsqueezed(nodes(model))
    for node in (node for node in nodes(model) if node.domain == DOMAIN):
        if wrong := fault(node, constants, made_of):
            raise Corrupt(f"model.onnx: the {node.op_type} {reprlib.repr(text_of(node.name))} {wrong}; {MAKE_AGAIN}.")


def _check_wholly_quantized(model: onnx.ModelProto) -> None:
    """Raise Corrupt for a graph that is only partly quantized."""
    quantized = any(node.op_type in QUANTIZED for node in nodes(model))
    if quantized and (left := float_matrices(model)):
        raise Corrupt(
            f"model.onnx is only partly quantized: the matrix {reprlib.repr(left[0])} is in floating point; "
            f"{MAKE_AGAIN}."
        )


def check_graph(path: Path) -> None:
    """Run onnx's own checker on a graph that was just written. Raises Corrupt if it fails.

    Do not use it on a graph in the worker cache: onnx rejects external data with more than one hard link.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Corrupt(f"{path.name} fails onnx's checker: {_first_line(error)}; leave the ONNX targets out.") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
