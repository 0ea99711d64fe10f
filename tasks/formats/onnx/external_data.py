"""Checks that a graph's external data lies in plain files of the artifact's own folder.

A graph names its external data by a path, and a loader follows that path: a malicious graph could make it read any file
of the host. onnx and onnxruntime reject most such paths themselves. This check comes first and names the tensor.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx

from tasks.errors import MAKE_AGAIN, Corrupt

LONGEST_NAME = 255
"""The longest file name, in bytes, that common file systems allow."""


def read_graph(path: Path) -> onnx.ModelProto:
    """Return the graph without its external data. Raises Corrupt if it does not parse or check_external_data fails."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        why = " ".join(str(error).split())
        raise Corrupt(f"{path.name} is not an ONNX graph ({why}); {MAKE_AGAIN}.") from error
    check_external_data(model, path)
    return model


def check_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Raise Corrupt, with the tensor's name, unless all external data lies inside plain files beside `path`."""
    for tensor in tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        facts = {text_of(entry.key): text_of(entry.value) for entry in tensor.external_data}
        location = facts.get("location", "")
        # A name without a separator cannot lead to another folder.
        too_long = len(location.encode()) > LONGEST_NAME
        if (
            location in ("", ".", "..")
            or any(mark in location for mark in "/\\:")
            or not location.isprintable()
            or too_long
        ):
            raise _corrupt(path, tensor, f"lies in {location!r}, which is not in the artifact's own folder")
        data = path.parent / location
        if data.is_symlink():
            raise _corrupt(path, tensor, f"lies in {location!r}, which is a symbolic link")
        if not data.is_file():
            raise _corrupt(path, tensor, f"lies in {location!r}, which is missing")
        try:
            offset, length = int(facts.get("offset", "0")), int(facts["length"]) if "length" in facts else 0
        except ValueError:
            raise _corrupt(path, tensor, "has an offset or a length that is not a number") from None
        if offset < 0 or length < 0 or offset + length > data.stat().st_size:
            raise _corrupt(path, tensor, f"reaches beyond the end of {location!r}")


def external_files(model: onnx.ModelProto) -> list[str]:
    """Return the names of the files that hold external data, sorted."""
    return sorted(
        {
            text_of(entry.value)
            for tensor in tensors(model)
            if tensor.data_location == onnx.TensorProto.EXTERNAL
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of the graph, of its subgraphs and of its functions.

    The graph's own initializers come first.
    """
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model):
        for attribute in node.attribute:
            # A field that is not set reads as an empty tensor, which has no external data.
            yield from (*attribute.tensors, attribute.t)
            for sparse in (*attribute.sparse_tensors, attribute.sparse_tensor):
                yield from (sparse.values, sparse.indices)


def text_of(value: str | bytes) -> str:
    """Return a text field as str. protobuf returns bytes for a text that is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of the graph, of its subgraphs and of its functions."""
    for graph in _graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def nodes_below(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of the subgraphs of a node."""
    for graph in _below(node):
        yield from graph.node


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    yield from _with_subgraphs(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _below(node)


def _with_subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield the graph and its subgraphs. The recursion is bounded: protobuf rejects more than 100 nested messages."""
    yield graph
    for node in graph.node:
        yield from _below(node)


def _below(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _with_subgraphs(graph)


def _corrupt(path: Path, tensor: onnx.TensorProto, what: str) -> Corrupt:
    return Corrupt(f"{path.name}: tensor {tensor.name!r} {what}; do not load this artifact; {MAKE_AGAIN}.")
