"""The names of weights in an exported graph: the parameter's own, with an ending if the graph changes it.

The exporter transposes the matrices of products, and calls the results `val_87`. A reader of such a graph could not say
whose numbers it holds. So they are named after their parameter.
"""

import ast
from typing import Any

PREFIX = "model."
"""The names of all parameters begin with the name of the model in its wrapper (see export.py)."""

TRANSPOSED, COMPUTED = ".transposed", ".computed"
"""What the name of a weight ends with if the graph holds its parameter transposed, or what is computed from it."""

FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"
"""The exporter's note on a constant that it computed: a list of the names that it was computed from."""


def name_weights(model: Any) -> None:
    """Name each constant that the exporter computed from one parameter, and each transposed parameter, after it.

    model: the exporter's own form of the graph (onnx_ir), before its notes are removed.
    """
    graph = model.graph
    taken = {value.name for node in graph.all_nodes() for value in (*node.inputs, *node.outputs) if value is not None}
    made = [(value, _folded_from(value)) for value in list(graph.initializers.values())]
    for node in graph.all_nodes():
        if node.op_type == "Transpose" and node.inputs[0] is not None and node.inputs[0].is_initializer():
            made.append((node.outputs[0], node.inputs[0].name))
    for value, parameter in made:
        ending = TRANSPOSED if value.shape is not None and len(value.shape) > 1 else COMPUTED
        if parameter and f"{parameter}{ending}" not in taken:
            value.name = f"{parameter}{ending}"
            taken.add(value.name)


def _folded_from(value: Any) -> str | None:
    """Return the one parameter that a constant was computed from, or None. Other constants' names have no dot."""
    try:
        names = ast.literal_eval(value.metadata_props.get(FOLDED_FROM, "[]"))
    except (ValueError, SyntaxError):
        return None
    parameters = [name for name in names if isinstance(name, str) and "." in name] if isinstance(names, list) else []
    return parameters[0] if len(parameters) == 1 else None
