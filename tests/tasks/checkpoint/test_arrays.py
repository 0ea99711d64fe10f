"""Weights opened as arrays over their files: the bits of each type, its shape, and every shard."""

import json
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.checkpoint.arrays import STORED_AS, Numbers, forget, open_numbers, to_float32
from tasks.checkpoint.dtypes import DTYPES
from tasks.errors import Corrupt, Unsupported
from tests.fixtures.checkpoints import llama_tensors, write_weights

SMALL = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([-0.5], np.float32)}


def write_one(folder: Path, dtype: str, shape: list[int], data: bytes) -> None:
    header = {"t": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}
    raw = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + data)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("shards", [1, 2])
def test_every_tensor_of_every_shard_has_its_numbers(tmp_path: Path, dtype: str, shards: int) -> None:
    write_weights(tmp_path, SMALL, shards, dtype)
    found = open_numbers(tmp_path)
    assert found.keys() == SMALL.keys()
    for name, numbers in found.items():
        assert to_float32(numbers.dtype, numbers.bits).tolist() == SMALL[name].tolist()


@pytest.mark.parametrize("dtype", [name for name in STORED_AS if name != "BF16"])
def test_each_type_is_read_as_it_is_stored(tmp_path: Path, dtype: str) -> None:
    values = np.array([[0, 1], [1, 0]], STORED_AS[dtype])
    write_one(tmp_path, dtype, [2, 2], values.tobytes())
    found = open_numbers(tmp_path)["t"]
    assert found.bits.dtype.itemsize * 8 == DTYPES[dtype].bits
    assert to_float32(found.dtype, found.bits).tolist() == [[0, 1], [1, 0]]


def test_bfloat16_is_the_upper_half_of_a_float32() -> None:
    values = np.array([1.0, -3.140625, 2.0**-133, np.inf], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    assert to_float32("BF16", bits).tolist() == values.tolist()
    assert np.isnan(to_float32("BF16", np.array([0x7FC0], np.uint16))).all()


@pytest.mark.parametrize("dtype", ["F8_E4M3", "U16", "F4"])
def test_a_type_of_quantized_weights_is_unsupported(tmp_path: Path, dtype: str) -> None:
    write_one(tmp_path, dtype, [16], bytes(16 * DTYPES[dtype].bits // 8))
    with pytest.raises(Unsupported, match=f"Tensor 't' is stored as {dtype}, so the source is quantized; release"):
        open_numbers(tmp_path)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    write_weights(tmp_path, SMALL)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match=r"model\.safetensors"):
        open_numbers(tmp_path)


def test_a_file_without_tensors_has_none(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    assert open_numbers(tmp_path) == {}


def test_a_view_keeps_the_type() -> None:
    numbers = Numbers("BF16", np.arange(6, dtype=np.uint16).reshape(2, 3))
    seen = numbers.seen(numbers.bits.T)
    assert (seen.dtype, seen.bits.shape) == ("BF16", (3, 2))


def resident(array: np.ndarray[Any, Any]) -> int:
    """Return how many kB of a mapped array's file are in this process's memory."""
    address, kilobytes, inside = array.ctypes.data, 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            low, high = (int(number, 16) for number in first.split("-"))
            inside = low <= address < high
        elif inside and first == "Rss:":
            kilobytes = int(line.split()[1])
    return kilobytes


def test_the_memory_of_a_file_is_given_back_and_can_be_read_again(tmp_path: Path) -> None:
    write_weights(tmp_path, llama_tensors(hidden=1024))
    bits = open_numbers(tmp_path)["model.embed_tokens.weight"].bits
    total = int(bits.sum(dtype=np.int64))
    before = resident(bits)
    forget(bits.T[:5])
    assert before >= bits.nbytes / 1024 and resident(bits) < before / 2
    assert int(bits.sum(dtype=np.int64)) == total


def test_an_array_of_no_file_is_left_alone() -> None:
    array = np.ones(3)
    forget(array)
    assert array.tolist() == [1, 1, 1] and not isinstance(array.base, mmap.mmap)
