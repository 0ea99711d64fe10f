"""Reads the facts of an ONNX artifact without an engine, and checks that it is safe to load.

An engine trusts its files, so a malformed or malicious graph must be rejected here, before the engine loads it.
"""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from tasks.errors import Corrupt
from tasks.formats.onnx.external_data import external_files, nodes, read_graph, text_of

STANDARD = {"", "ai.onnx"}
"""The names of the domain of the operators that onnx itself defines."""

NEEDED = ("config.json", "tokenizer.json")


def inspect(folder: Path) -> Mapping[str, Any]:
    """Return the facts of the artifact.

    `files`: the names of the files with weights; `opset`: the version of ONNX's operators; `inputs`: their names,
    without the KV cache; `layers`, `nodes` and `integer_products`: counts.

    Raises Corrupt for a graph that does not parse, for external data outside the folder, for operators that onnx itself
    does not define, and for a missing KV cache, configuration or tokenizer.
    """
    for name in NEEDED:
        if not (folder / name).is_file():
            raise Corrupt(f"The artifact has no {name}, so it cannot be served; make the artifact again.")
    path = folder / "model.onnx"
    if not path.is_file():
        raise Corrupt("The artifact has no model.onnx; make the artifact again.")
    model = read_graph(path)
    inputs = [text_of(value.name) for value in model.graph.input]
    outputs = [text_of(value.name) for value in model.graph.output]
    pasts = [name for name in inputs if name.startswith("past_key_values.")]
    expected = ["logits", *(name.replace("past_key_values", "present") for name in pasts)]
    if "input_ids" not in inputs or not pasts or outputs != expected:
        raise Corrupt(
            f"model.onnx has the outputs {reprlib.repr(outputs)}, which do not match its inputs "
            f"{reprlib.repr(inputs)}; make the artifact again."
        )
    used = {text_of(entry.domain) for entry in (*model.opset_import, *model.functions, *nodes(model))}
    if foreign := sorted(used - STANDARD):
        raise Corrupt(
            f"model.onnx uses operators of {reprlib.repr(foreign)}, which other ONNX engines lack; "
            "make the artifact again."
        )
    if not model.opset_import:
        raise Corrupt("model.onnx does not state the version of ONNX's operators; make the artifact again.")
    return {
        "files": ["model.onnx", *external_files(model)],
        "opset": model.opset_import[0].version,
        "inputs": [name for name in inputs if name not in pasts],
        "layers": len(pasts) // 2,
        "nodes": len(model.graph.node),
        "integer_products": sum(node.op_type == "MatMulInteger" for node in model.graph.node),
    }


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
