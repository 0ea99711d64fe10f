"""Reads and writes the weights of an ONNX graph one at a time, so that memory never holds all of them.

Weights lie in the graph itself or, beyond protobuf's limit of 2 GB, in a file beside it.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.formats.onnx.external_data import text_of
from tasks.formats.onnx.target import INLINE_BYTES

ALIGNMENT = 4096
"""Bytes. Each weight in a file of external data begins at a multiple of this, so that it can be memory-mapped."""


MATRIX_DIMENSIONS = 2


class Weights(Mapping[str, NDArray[Any]]):
    """The weights of a graph by name. A weight is read, or memory-mapped, when it is asked for.

    The weights stay available when the graph's own list of weights is cleared.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        """Take the weights of `model`. `folder` contains its external data; `read_graph` must have checked them."""
        self._known: dict[str, TensorProto | NDArray[Any]] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._folder = folder

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the weight as an array. Arrays of the graph are read-only."""
        known = self._known[name]
        return self._read(known) if isinstance(known, TensorProto) else known

    def __iter__(self) -> Iterator[str]:
        """Yield the names in the graph's order, then those that were added."""
        return iter(self._known)

    def __len__(self) -> int:
        """Return the number of weights."""
        return len(self._known)

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Add a weight that the graph does not have. The array is not copied, so it can be a view of another weight."""
        self._known[name] = array

    def matrices(self) -> list[str]:
        """Return the names of the float32 matrices, without reading any."""
        return [name for name, known in self._known.items() if _is_matrix(known)]

    def is_matrix(self, name: str) -> bool:
        """Return whether this is a float32 matrix that is not empty, without reading it."""
        return name in self._known and _is_matrix(self._known[name])

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a weight, without reading it."""
        known = self._known[name]
        return tuple(known.dims) if isinstance(known, TensorProto) else known.shape

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
            raise Corrupt(f"The weight {tensor.name!r} does not have the {size} bytes of its shape; {MAKE_AGAIN}.")
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
    """Saves a graph with new weights, in the graph itself or beside it in the file `<name>.data`."""

    def __init__(self, model: onnx.ModelProto, path: Path, total_bytes: int) -> None:
        """Prepare to save `model` to `path`.

        total_bytes: about how many bytes of weights will be put; above INLINE_BYTES they go into the file beside it.
        """
        self._model, self._path = model, path
        self._data: IO[bytes] | None = None
        if total_bytes > INLINE_BYTES:
            self._data = path.with_name(f"{path.name}.data").open("wb")

    def put(self, tensor: TensorProto, array: NDArray[Any]) -> None:
        """Set the shape and values of a tensor of the graph. The array must have the tensor's type."""
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
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the data file. Save the graph, unless an exception is being raised."""
        if self._data is not None:
            self._data.close()
        if kind is None:
            onnx.save_model(self._model, str(self._path))
