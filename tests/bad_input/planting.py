"""What may be wrong with a source: each function returns one that spoils a sound checkpoint in a folder."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.fixtures.checkpoints import make_checkpoint, write_json

Plant = Callable[[Path], object]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"


def raw(name: str, data: bytes | str) -> Plant:
    """A file with these bytes."""

    def plant(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)

    return plant


def config(**fields: Any) -> Plant:
    """Fields of config.json."""
    return edited("config.json", **fields)


def edited(name: str, **fields: Any) -> Plant:
    """Fields of a JSON file."""

    def plant(folder: Path) -> None:
        write_json(folder / name, {**json.loads((folder / name).read_text()), **fields})

    return plant


def tokenizer(**fields: Any) -> Plant:
    """Parts of tokenizer.json."""
    return edited("tokenizer.json", **fields)


def split(pattern: str) -> Plant:
    """A pre-tokenizer with this pattern."""
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return tokenizer(pre_tokenizer=step)


def template(source: object) -> Plant:
    """A chat template in tokenizer_config.json."""
    return edited("tokenizer_config.json", chat_template=source)


def template_in_a_file_of_its_own(source: str) -> Plant:
    """A chat template in chat_template.json, which counts only where tokenizer_config.json has none."""

    def plant(folder: Path) -> None:
        edited("tokenizer_config.json", chat_template=None)(folder)
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": source}))

    return plant


def norm(value: float, dtype: str = "bfloat16") -> Plant:
    """One wrong number in a norm."""
    values = np.ones(64, np.float32)
    values[7] = value
    return lambda folder: make_checkpoint(folder, dtype=dtype, tensors={"model.norm.weight": values})


def without(name: str) -> Plant:
    """A file that is missing."""
    return lambda folder: (folder / name).unlink()


def entry(**changes: Any) -> dict[str, Any]:
    """One tensor of a header, four bytes large."""
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}


def header(content: Mapping[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> Plant:
    """A safetensors file of this header and these bytes; `length` is what it claims its header has."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return raw(WEIGHTS, struct.pack("<Q", len(text) if length is None else length) + text + data)


def cut(end: int) -> Plant:
    """The file of the weights, up to this byte (from its end, where negative)."""
    return lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:end])


def longer(folder: Path) -> None:
    """Three bytes behind the weights."""
    with (folder / WEIGHTS).open("ab") as file:
        file.write(bytes(3))


def shards(change: Callable[[dict[str, str]], object] | None = None) -> Plant:
    """Two shards and their index, whose map is changed."""

    def plant(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        make_checkpoint(folder, shards=2)
        content = json.loads((folder / INDEX).read_text())
        if change:
            change(content["weight_map"])
        write_json(folder / INDEX, content)

    return plant


def index(data: bytes | str) -> Plant:
    """Two shards, and this in place of their index."""
    return then(shards(), raw(INDEX, data))


def then(*plants: Plant) -> Plant:
    """One after the other."""

    def plant(folder: Path) -> None:
        for one in plants:
            one(folder)

    return plant
