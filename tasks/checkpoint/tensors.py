"""A snapshot's weights, tensor by tensor and piece by piece, from safetensors or from pickled `.bin` files.

Pickles are read by torch's restricted loader only, which admits tensors and refuses code.
"""

import math
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.checkpoint.headers import (
    INDEX_FILE,
    SINGLE_FILE,
    UNREAD,
    TensorEntry,
    read_header,
    read_index,
    read_weight_map,
)
from tasks.errors import Corrupt, NotFound, Refused, Unsupported

BIN_FILE, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
# Elements converted at once: 64 MiB of fp32, large enough for the disk and small beside any model.
PIECE = 16 * 1024 * 1024
TORCH_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}


@dataclass(frozen=True)
class Weight:
    """One tensor of the source: its name, dtype (as safetensors spells it), shape, and where its bytes are."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    place: "TensorEntry | torch.Tensor"
    file: Path

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def pieces(self) -> Iterator[torch.Tensor]:
        """Yield the elements in order, flat, at most PIECE at once."""
        if isinstance(self.place, torch.Tensor):
            # A transposed or sliced tensor is copied whole; others are views of the mapped file.
            flat = self.place.contiguous().view(-1)
            for start in range(0, flat.numel(), PIECE):
                yield flat[start : start + PIECE]
            return
        dtype = TORCH_DTYPES[self.dtype]
        step = PIECE * dtype.itemsize
        with self.file.open("rb") as file:
            file.seek(self.place.start)
            left = self.place.size
            while left:
                raw = bytearray(min(step, left))
                if file.readinto(raw) != len(raw):
                    raise Corrupt(f"{self.file.name}: it ended within tensor {self.name!r}; fetch the file again.")
                left -= len(raw)
                yield torch.frombuffer(raw, dtype=dtype)


def read_weights(folder: Path) -> list[Weight]:
    """Return all weights of a snapshot in the order of their files; safetensors where there are any. UNREAD is none.

    Raises NotFound where there are no weights, Refused for pickles that hold more than tensors, Corrupt where files and
    index disagree, Unsupported for dtypes that are another quantization's storage.
    """
    if (folder / SINGLE_FILE).is_file() or (folder / INDEX_FILE).is_file():
        weights = list(_from_safetensors(folder))
    elif (folder / BIN_FILE).is_file() or (folder / BIN_INDEX).is_file():
        weights = list(_from_bins(folder))
    else:
        raise NotFound(f"The snapshot has no weights: neither {SINGLE_FILE} nor {BIN_FILE}, nor an index of either.")
    weights = [weight for weight in weights if not UNREAD.fullmatch(weight.name)]
    for weight in weights:
        if weight.dtype not in TORCH_DTYPES or (weight.name.endswith(".weight") and weight.dtype[0] not in "FB"):
            raise Unsupported(
                f"{weight.file.name}: tensor {weight.name!r} is stored as {weight.dtype}, so the source is quantized; "
                "release the unquantized model it was made from instead."
            )
    return weights


def _from_safetensors(folder: Path) -> Iterator[Weight]:
    for file_name in sorted(set(read_index(folder).values())):
        path = folder / file_name
        for name, entry in read_header(path).tensors.items():
            yield Weight(name, entry.dtype, entry.shape, entry, path)


def _from_bins(folder: Path) -> Iterator[Weight]:
    if not (folder / BIN_INDEX).is_file():
        yield from _from_bin(folder / BIN_FILE, None)
        return
    weight_map = read_weight_map(folder, BIN_INDEX)
    for file_name in sorted(set(weight_map.values())):
        yield from _from_bin(folder / file_name, {name for name, file in weight_map.items() if file == file_name})


def _from_bin(path: Path, promised: set[str] | None) -> Iterator[Weight]:
    """Map one pickled file and yield its tensors; `promised` are the names its index places in it."""
    content = _load(path)
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise Unsupported(f"{path.name} is no plain mapping of names to tensors; publish the model as safetensors.")
    if promised is not None and promised != set(content):
        odd = min(promised ^ set(content))
        raise Corrupt(f"{path.name} and {BIN_INDEX} disagree about tensor {odd!r}; fetch the snapshot again.")
    for name, tensor in content.items():
        yield Weight(str(name), NAMES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape), tensor, path)


def _load(path: Path) -> object:
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            # Files of torch before 1.6 are no zip archives and cannot be mapped; they are loaded whole, as restricted.
            if "mmap can only be used" not in str(error):
                raise
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise Refused(
            f"{path.name} holds more than tensors, and loading it could run code; ask its publisher for safetensors."
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Corrupt(f"{path.name} cannot be read ({reason}); fetch the file again.") from error
