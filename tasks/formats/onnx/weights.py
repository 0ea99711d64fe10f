"""A graph's weights, read one at a time from where they lie and written one at a time to where they go."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from tasks.errors import Corrupt
from tasks.formats.onnx.external_data import text_of
from tasks.formats.onnx.target import INLINE_BYTES

ALIGNMENT = 4096
"""Of each weight in a file of external data, so that it can be mapped."""


MATRIX_DIMENSIONS = 2


class Weights(Mapping[str, NDArray[Any]]):
    """The weights of a graph by name, each as an array that is mapped from its file, or made when it is asked for.

    They stay when the graph's own list is emptied.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        """`folder` holds the external data, which `read_graph` has checked."""
        self._known: dict[str, TensorProto | NDArray[Any]] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._folder = folder

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the array, read-only where it is the graph's."""
        known = self._known[name]
        return self._read(known) if isinstance(known, TensorProto) else known

    def __iter__(self) -> Iterator[str]:
        """Yield names in the graph's order, then those that were added."""
        return iter(self._known)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Add a weight that the graph does not have; a view of another one is kept as such."""
        self._known[name] = array

    def matrices(self) -> list[str]:
        """Return the names of float32 matrices, of which none is read for that."""
        return [name for name, known in self._known.items() if _is_matrix(known)]

    def _read(self, tensor: TensorProto) -> NDArray[Any]:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if 0 in tensor.dims:
            return np.empty(tuple(tensor.dims), dtype)
        if tensor.data_location != TensorProto.EXTERNAL:
            inline: NDArray[Any] = numpy_helper.to_array(tensor)
            return inline
        size = math.prod(tensor.dims) * dtype.itemsize
        facts = {text_of(entry.key): text_of(entry.value) for entry in tensor.external_data}
        if int(facts.get("length", size)) != size:
            raise Corrupt(
                f"The weight {tensor.name!r} does not have the {size} bytes of its shape; make the graph again."
            )
        mapped: NDArray[Any] = np.memmap(
            self._folder / facts["location"],
            dtype,
            "r",
            int(facts.get("offset", "0")),
            tuple(tensor.dims),
        )
        return mapped


def _is_matrix(known: TensorProto | NDArray[Any]) -> bool:
    if isinstance(known, TensorProto):
        return known.data_type == TensorProto.FLOAT and len(known.dims) == MATRIX_DIMENSIONS and 0 not in known.dims
    return known.dtype == np.float32 and known.ndim == MATRIX_DIMENSIONS and known.size > 0


class WeightsWriter:
    """Saves a graph with what is `put` into its tensors: in the graph itself, or beside it in `<name>.data`."""

    def __init__(self, model: onnx.ModelProto, path: Path, total_bytes: int) -> None:
        """`total_bytes` is about what will be put, and decides where."""
        self._model, self._path = model, path
        self._data: IO[bytes] | None = None
        if total_bytes > INLINE_BYTES:
            self._data = path.with_name(f"{path.name}.data").open("wb")

    def put(self, tensor: TensorProto, array: NDArray[Any]) -> None:
        """Give a tensor of the graph its shape and values, of the type that it has."""
        del tensor.dims[:]
        tensor.dims.extend(array.shape)
        for field in ("float_data", "int32_data"):
            tensor.ClearField(field)
        if self._data is None or array.nbytes < ALIGNMENT:
            tensor.raw_data = array.tobytes()
            return
        tensor.ClearField("raw_data")
        self._data.write(bytes(-self._data.tell() % ALIGNMENT))
        facts = {"location": Path(self._data.name).name, "offset": self._data.tell(), "length": array.nbytes}
        self._data.write(np.ascontiguousarray(array).data)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in facts.items():
            tensor.external_data.add(key=key, value=str(value))

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Save the graph, unless something went wrong."""
        if self._data is not None:
            self._data.close()
        if kind is None:
            onnx.save_model(self._model, str(self._path))
