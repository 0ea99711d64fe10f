"""Where a graph's weights may lie: in the graph, or in a plain file of the same folder, and nowhere else.

A graph names its external data by a path that a loader follows; one that leads elsewhere would have the loader read any
file of the host. onnx and onnxruntime refuse most of it by themselves; this is asked before them, and names the tensor.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx

from tasks.errors import Corrupt

LONGEST_NAME = 255
"""Bytes that file systems take."""


def read_graph(path: Path) -> onnx.ModelProto:
    """Return the graph without its external data; raises Corrupt where it does not parse or its data lies elsewhere."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        why = " ".join(str(error).split())
        raise Corrupt(f"{path.name} is no ONNX graph ({why}); make the artifact again.") from error
    check_external_data(model, path)
    return model


def check_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Raise Corrupt, naming the tensor, where external data is not wholly inside a plain file beside `path`."""
    for tensor in tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        facts = {text_of(entry.key): text_of(entry.value) for entry in tensor.external_data}
        location = facts.get("location", "")
        # A name without any separator can lead neither up, nor down, nor to a root.
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
            raise _corrupt(path, tensor, "has an offset or a length that is no number") from None
        if offset < 0 or length < 0 or offset + length > data.stat().st_size:
            raise _corrupt(path, tensor, f"goes beyond the end of {location!r}")


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
    """Yield every tensor of the graph, its subgraphs and its functions."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model):
        for attribute in node.attribute:
            # A message that is not set reads as an empty one, which holds no external data.
            yield from (*attribute.tensors, attribute.t)
            for sparse in (*attribute.sparse_tensors, attribute.sparse_tensor):
                yield from (sparse.values, sparse.indices)


def text_of(value: str | bytes) -> str:
    """Return a graph's text; protobuf gives one that is no UTF-8 as bytes."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of the graph, its subgraphs and its functions."""
    for graph in _graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    yield from _with_subgraphs(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _below(node)


def _with_subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Protobuf itself refuses messages that are nested more than a hundred levels."""
    yield graph
    for node in graph.node:
        yield from _below(node)


def _below(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _with_subgraphs(graph)


def _corrupt(path: Path, tensor: onnx.TensorProto, what: str) -> Corrupt:
    return Corrupt(f"{path.name}: tensor {tensor.name!r} {what}; do not load this artifact, make it again.")
