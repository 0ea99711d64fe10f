"""Finds the values that an ONNX graph's outputs depend on: a weight that none of them needs is never computed with."""

import onnx

from tasks.formats.onnx.external_data import nodes_below, text_of


def used_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of the values on which an output of the graph depends, in the graph and in its subgraphs."""
    used = {text_of(output.name) for output in model.graph.output}
    # The nodes of a graph are in the order in which they are computed.
    for node in reversed(model.graph.node):
        if used.intersection(map(text_of, node.output)):
            for one in (node, *nodes_below(node)):
                used.update(map(text_of, one.input))
    return used
