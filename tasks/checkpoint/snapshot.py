"""Reads a snapshot: its JSON files, the names of its weights' files, and every tensor's type and shape."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tasks.checkpoint.headers import read_header, read_index
from tasks.checkpoint.model_config import CONFIG, ModelConfig, parse_config
from tasks.checkpoint.tensor import Tensor
from tasks.errors import FETCH_AGAIN, Corrupt

PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz"}
"""Endings of files that some loader may unpickle, whether or not they hold weights."""

DEEPEST = 100
"""Levels of lists and objects in a JSON file. Recursive code uses a call a level, and Python allows a thousand."""


class Snapshot:
    """The files of a source in a folder. What was read is kept, because several checks ask for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> Iterator[str]:
        """Yield every file's path below the folder, sorted."""
        for path in sorted(self.folder.rglob("*")):
            if not path.is_dir() or path.is_symlink():
                yield path.relative_to(self.folder).as_posix()

    def json(self, name: str) -> dict[str, Any] | None:
        """Return a file's JSON object, or None where there is no file; raises Corrupt if it holds no valid object."""
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_bytes(), object_pairs_hook=_unambiguous, parse_constant=_no_nan)
        except (ValueError, RecursionError) as error:
            raise Corrupt(f"{name} is not valid JSON ({error}); ask the publisher to fix it.") from error
        if not isinstance(content, dict):
            raise Corrupt(f"{name} is not a JSON object; ask the publisher to fix it.")
        if _is_deeper(content, DEEPEST):
            raise Corrupt(f"{name} is nested more than {DEEPEST} levels deep; ask the publisher to fix it.")
        return content

    @cached_property
    def config(self) -> ModelConfig:
        """The model's configuration; raises Corrupt where there is none."""
        content = self.json(CONFIG)
        if content is None:
            raise Corrupt(f"The snapshot has no {CONFIG}; {FETCH_AGAIN}.")
        return parse_config(content)

    @cached_property
    def pickles(self) -> list[str]:
        """Paths of the files that a loader might unpickle."""
        return [path for path in self.paths() if Path(path).suffix.lower() in PICKLE_SUFFIXES]

    @cached_property
    def weight_format(self) -> Literal["safetensors", "pytorch"]:
        """How the weights are stored; raises Corrupt where there are none."""
        if any(self.folder.glob("*.safetensors")):
            return "safetensors"
        if any(path.startswith("pytorch_model") for path in self.pickles):
            return "pytorch"
        raise Corrupt(f"The snapshot has no weights (neither *.safetensors nor pytorch_model*.bin); {FETCH_AGAIN}.")

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor of the weights by name; raises Corrupt where headers, shards or the index are wrong."""
        if self.weight_format == "pytorch":
            from tasks.checkpoint.pickles import read_shapes

            return read_shapes(self.folder)
        index = read_index(self.folder)
        headers = {name: read_header(self.folder / name) for name in sorted(set(index.values()))}
        tensors = {}
        for name, file in index.items():
            entry = headers[file].tensors[name]
            tensors[name] = Tensor(entry.dtype, entry.shape, entry.size, file)
        return tensors


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from its pairs; raises ValueError where two engines could read it differently."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {key!r} occurs twice")
        content[key] = value
    return content


def _no_nan(name: str) -> float:
    """Return an infinity. Raises ValueError for NaN, which is not JSON, but Python reads it."""
    if name == "NaN":
        raise ValueError("a number is NaN")
    return float(name)


def _is_deeper(content: Any, levels: int) -> bool:
    """Whether lists and objects are nested more than so many levels."""
    level = [content]
    for _ in range(levels):
        level = [inner for value in level for inner in _inside(value)]
    return any(isinstance(value, dict | list) for value in level)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
