"""A corruption changes what its name says, and nothing else of the file."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.formats.gguf.header import Header, TensorInfo
from tasks.formats.gguf.tensor_types import TENSOR_TYPES
from tests.mutations.gguf_file import Field, GgufFile, GgufTensor, read, written
from tests.sensitivity.corruptions import change_tensor, corrupted, corruptions, scale

FLOAT32, STRING, F16 = 6, 8, 1
ROWS, COLUMNS = 4, 32
THETA = "toy.rope.freq_base"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    names = [f"blk.{layer}.{role}.weight" for layer in range(2) for role in ("attn_q", "attn_output", "ffn_down")]
    tensors = {
        name: GgufTensor((COLUMNS, ROWS), F16, random.normal(size=(ROWS, COLUMNS)).astype(np.float16).tobytes())
        for name in names
    }
    metadata = {"general.architecture": Field(STRING, None, "toy"), THETA: Field(FLOAT32, None, 10000.0)}
    (tmp_path / "sound.gguf").write_bytes(written(GgufFile(metadata, tensors)))
    return tmp_path / "sound.gguf"


def weights(file: GgufFile, name: str) -> NDArray[np.float32]:
    return np.frombuffer(file.tensors[name].data, np.float16).reshape(ROWS, COLUMNS).astype(np.float32)


def done(path: Path, words: str, strength: float = 1.0) -> tuple[GgufFile, GgufFile, set[str]]:
    """Return the sound file, the corrupted one, and the names of the tensors that differ."""
    (corruption,) = [one for one in corruptions(path) if words in one.name]
    corrupted(path, path.with_name("changed.gguf"), corruption, strength)
    sound, changed = read(path), read(path.with_name("changed.gguf"))
    return sound, changed, {name for name in sound.tensors if sound.tensors[name] != changed.tensors[name]}


def test_a_tensor_is_scaled(path: Path) -> None:
    sound, changed, differing = done(path, "attn_q.weight` scaled", 1.5)
    assert differing == {"blk.1.attn_q.weight"}
    name = differing.pop()
    np.testing.assert_allclose(weights(changed, name), 1.5 * weights(sound, name), rtol=1e-3)


def test_a_tensor_is_zeroed(path: Path) -> None:
    _, changed, differing = done(path, "ffn_down.weight` zeroed")
    assert differing == {"blk.1.ffn_down.weight"}
    assert not weights(changed, differing.pop()).any()


def test_the_rows_of_a_tensor_are_reversed(path: Path) -> None:
    sound, changed, differing = done(path, "attn_output.weight`, rows reversed")
    assert differing == {"blk.1.attn_output.weight"}
    name = differing.pop()
    assert (weights(changed, name) == weights(sound, name)[::-1]).all()


def test_two_layers_are_exchanged(path: Path) -> None:
    sound, changed, differing = done(path, "exchanged")
    assert differing == {"blk.0.attn_output.weight", "blk.1.attn_output.weight"}
    for one, other in (sorted(differing), sorted(differing, reverse=True)):
        assert (weights(changed, one) == weights(sound, other)).all()


def test_the_rotary_base_is_multiplied(path: Path) -> None:
    _, changed, differing = done(path, "rope.freq_base", 1.02)
    assert differing == set()
    assert changed.metadata[THETA].value == pytest.approx(10200.0)


def test_a_quantized_tensor_is_scaled_by_its_scales(tmp_path: Path) -> None:
    """A block of q8_0: a float16 scale, and 32 numbers of 8 bits."""
    numbers = np.arange(-16, 16, dtype=np.int8)
    data = np.frombuffer(struct.pack("<e", 0.5) + numbers.tobytes(), np.uint8).copy()
    info = TensorInfo("blk.0.attn_q.weight", (32,), TENSOR_TYPES[8], 0)
    change_tensor(info.name, scale)(data, Header(tmp_path / "x.gguf", 3, {}, (info,), len(data)), 1.5)
    assert struct.unpack("<e", data[:2].tobytes()) == (0.75,)
    assert (data[2:].view(np.int8) == numbers).all()
