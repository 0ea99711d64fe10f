"""Mutants of an ONNX graph: of its initializers, of the attributes of its nodes, and of what it calls itself."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tests.mutations.mutant import Mutant, replace
from tests.mutations.values import changed

FILE = "model.onnx"
PLAIN = {onnx.AttributeProto.INT: "i", onnx.AttributeProto.FLOAT: "f", onnx.AttributeProto.STRING: "s"}
LISTED = {onnx.AttributeProto.INTS: "ints", onnx.AttributeProto.FLOATS: "floats"}


def onnx_mutants(folder: Path) -> Iterator[Mutant]:
    """Yield the mutants of a folder's graph, whose weights are in the one file."""
    graph = onnx.load(folder / FILE).graph
    for place, tensor in enumerate(graph.initializer):
        yield from _initializer_mutants(place, tensor)
    for place, node in enumerate(graph.node):
        for at, attribute in enumerate(node.attribute):
            # The name of a node may be missing; its place is there.
            name = f"node {place} ({node.op_type}).{attribute.name}"
            if attribute.type in (*PLAIN, *LISTED, onnx.AttributeProto.TENSOR):
                yield _mutant(name, "changed", "attributes", _attribute_edit(place, at))
            yield _mutant(name, "removed", "attributes", partial(_remove_attribute, place, at))
    for kind in ("input", "output"):
        for place, value in enumerate(getattr(graph, kind)):
            yield _mutant(f"{kind} {value.name}", "renamed", "names", _rename_edit(kind, place))
    yield _mutant("opset_import.0.version", "changed", "names", _older)


def _initializer_mutants(place: int, tensor: onnx.TensorProto) -> Iterator[Mutant]:
    name = f"initializer {tensor.name}"

    def edit(new: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def change(model: Any) -> None:
            _renumber(model.graph.initializer[place], new)

        return change

    numbers = numpy_helper.to_array(tensor)
    if numbers.size > 1:
        yield _mutant(name, "moved by a row", "initializers", edit(lambda old: np.roll(old, 1, axis=0)))
    yield _mutant(name, "doubled", "initializers", edit(_doubled))
    yield _mutant(name, "removed", "initializers", lambda model: model.graph.initializer.pop(place))


def _remove_attribute(place: int, at: int, model: Any) -> None:
    model.graph.node[place].attribute.pop(at)


def _attribute_edit(place: int, at: int) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        attribute = model.graph.node[place].attribute[at]
        if attribute.type in PLAIN:
            field = PLAIN[attribute.type]
            value = getattr(attribute, field)
            setattr(attribute, field, changed(value.decode()).encode() if isinstance(value, bytes) else changed(value))
        elif attribute.type in LISTED:
            listed = getattr(attribute, LISTED[attribute.type])
            listed[-1] = changed(listed[-1])
        else:
            _renumber(attribute.t, _doubled)

    return edit


def _rename_edit(kind: str, place: int) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        value = getattr(model.graph, kind)[place]
        for node in model.graph.node:
            names = node.input if kind == "input" else node.output
            for at, name in enumerate(names):
                if name == value.name:
                    names[at] = f"{name}x"
        value.name += "x"

    return edit


def _older(model: Any) -> None:
    model.opset_import[0].version -= 5


def _doubled(numbers: Any) -> Any:
    """Double numbers; zeros and truth values become ones, which doubling would leave as they are."""
    if numbers.dtype == bool:
        return ~numbers
    with np.errstate(over="ignore"):  # the largest integer stands for the end of an axis
        return np.where(numbers == 0, 1, numbers * 2).astype(numbers.dtype)


def _renumber(tensor: Any, new: Callable[[Any], Any]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(new(numpy_helper.to_array(tensor))), tensor.name))


def _mutant(name: str, change: str, kind: str, edit: Callable[[Any], Any]) -> Mutant:
    def apply(folder: Path) -> None:
        model = onnx.load(folder / FILE)
        edit(model)
        replace(folder / FILE, model.SerializeToString())

    return Mutant(FILE, name, change, kind, apply)
