"""What an ONNX artifact says of itself, and whether it can be trusted to be loaded."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from tasks.errors import Corrupt
from tasks.formats.onnx.external_data import external_files, nodes, read_graph, text_of

STANDARD = {"", "ai.onnx"}
"""The names of the domain of operators that onnx itself defines."""

NEEDED = ("config.json", "tokenizer.json")


def inspect(folder: Path) -> Mapping[str, Any]:
    """Return facts of the artifact: weight files, opset, inputs, outputs, layers, integer products.

    Raises Corrupt for a graph that does not parse, external data outside the folder, operators that onnx itself does
    not define, a missing cache, or a missing tokenizer.
    """
    for name in NEEDED:
        if not (folder / name).is_file():
            raise Corrupt(f"The artifact has no {name}, without which it cannot be served; make it again.")
    path = folder / "model.onnx"
    if not path.is_file():
        raise Corrupt("The artifact has no model.onnx; make it again.")
    model = read_graph(path)
    inputs = [text_of(value.name) for value in model.graph.input]
    outputs = [text_of(value.name) for value in model.graph.output]
    pasts = [name for name in inputs if name.startswith("past_key_values.")]
    expected = ["logits", *(name.replace("past_key_values", "present") for name in pasts)]
    if "input_ids" not in inputs or not pasts or outputs != expected:
        raise Corrupt(
            f"model.onnx has the outputs {reprlib.repr(outputs)}, which do not match its inputs "
            f"{reprlib.repr(inputs)}; make it again."
        )
    used = {text_of(entry.domain) for entry in (*model.opset_import, *model.functions, *nodes(model))}
    if foreign := sorted(used - STANDARD):
        raise Corrupt(
            f"model.onnx uses operators of {reprlib.repr(foreign)}, which other ONNX engines lack; make it again."
        )
    if not model.opset_import:
        raise Corrupt("model.onnx does not say which version of ONNX's operators it uses; make it again.")
    return {
        "files": ["model.onnx", *external_files(model)],
        "opset": model.opset_import[0].version,
        "inputs": [name for name in inputs if name not in pasts],
        "layers": len(pasts) // 2,
        "nodes": len(model.graph.node),
        "integer_products": sum(node.op_type == "MatMulInteger" for node in model.graph.node),
    }


def check_graph(path: Path) -> None:
    """Have onnx itself check a graph just written; raises Corrupt.

    Not for a graph in a cache: onnx refuses external data that has several hard links.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Corrupt(f"{path.name} fails onnx's checker: {str(error).strip().splitlines()[0][:300]}") from error
