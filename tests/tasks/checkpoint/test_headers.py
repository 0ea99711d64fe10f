"""Every malformed header and index is refused with the file and the tensor named; sound ones are read as written."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.headers import TensorEntry, read_header, read_index
from tasks.errors import Corrupt


def write(path: Path, header: str | dict[str, Any], data: bytes, length: int | None = None) -> Path:
    raw = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def tensor(start: int, end: int, dtype: str = "F32", shape: tuple[int, ...] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape or ((end - start) // 4,)), "data_offsets": [start, end]}


def test_a_sound_header_is_read_in_the_order_of_the_bytes(tmp_path: Path) -> None:
    content = {
        "__metadata__": {"format": "pt"},
        "b": tensor(8, 16),
        "a": tensor(0, 8),
        "none": tensor(16, 16, shape=(2**40, 2**40, 0)),
    }
    header = read_header(write(tmp_path / "m.safetensors", content, bytes(16)))
    assert list(header.tensors) == ["a", "b", "none"]
    assert header.metadata == {"format": "pt"}
    start = header.header_bytes
    assert header.tensors["b"] == TensorEntry("F32", (2,), start + 8, start + 16)
    assert header.tensors["none"].elements == 0


@pytest.mark.parametrize("magic", [b"7z\xbc\xaf\x27\x1c", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"\x80\x02}q"])
def test_a_container_of_another_kind_is_refused(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(magic + bytes(range(200)))
    with pytest.raises(Corrupt, match=r"model\.safetensors: its header claims \d+ bytes"):
        read_header(path)


@pytest.mark.timeout(60)
def test_a_header_of_a_hundred_thousand_tensors_is_read_in_linear_time(tmp_path: Path) -> None:
    """Writing it and reading it twice took 16 seconds on two cores with ten processes; a quadratic step never ends."""
    count = 100_000
    header = {f"model.layers.{n}.weight": tensor(4 * n, 4 * n + 4) for n in range(count)}
    path = write(tmp_path / "model.safetensors", header, bytes(4 * count))
    assert len(read_header(path).tensors) == count
    assert len(read_index(tmp_path)) == count


@pytest.mark.parametrize(
    ("header", "data", "length", "message"),
    [
        ({"a": tensor(0, 8)}, bytes(7), None, "cut short"),
        ({"a": tensor(0, 8)}, bytes(9), None, "goes on behind"),
        ({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12), None, "'b' overlaps"),
        ({"a": tensor(0, 8), "b": tensor(12, 20)}, bytes(20), None, "'b' leaves a gap"),
        ({"a": tensor(0, 8, dtype="F99")}, bytes(8), None, "unknown dtype 'F99'"),
        ({"a": tensor(0, 8, shape=(3,))}, bytes(8), None, r"'a' has 8 bytes, where F32 \[3\] needs 12"),
        ({"a": tensor(0, 8, shape=(-1,))}, bytes(8), None, "not a list of sizes"),
        ({"a": tensor(0, 8, shape=(2**40, 2**40))}, bytes(8), None, "larger than any file"),
        ({"a": {**tensor(0, 8), "more": 1}}, bytes(8), None, "exactly dtype"),
        ({"a": {**tensor(0, 8), "data_offsets": [8, True]}}, bytes(8), None, "not a pair of positions"),
        ({"a": {**tensor(0, 8), "data_offsets": [-1, 7]}}, bytes(8), None, "not a pair of positions"),
        ({"a": {**tensor(0, 8), "data_offsets": [0, 8, 8]}}, bytes(8), None, "not a pair of positions"),
        ({"__metadata__": {"x": 1}, "a": tensor(0, 8)}, bytes(8), None, "__metadata__"),
        ('{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "a": 1}', b"x", None, "'a' occurs twice"),
        ("[1]", b"", None, "not an object"),
        ("{", b"", None, "does not parse"),
        ("[" * 100_000, b"", None, "does not parse"),
        ("{}", b"", 100_000_001, "beyond the limit"),
        ("{}", b"", 3, "the file ends"),
    ],
)
def test_a_malformed_file_is_refused(
    tmp_path: Path, header: str | dict[str, Any], data: bytes, length: int | None, message: str
) -> None:
    path = write(tmp_path / "m.safetensors", header, data, length)
    with pytest.raises(Corrupt, match=message) as caught:
        read_header(path)
    assert "m.safetensors" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"1234567"])
def test_a_file_of_a_few_bytes_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(Corrupt, match="too few"):
        read_header(path)


def sharded(folder: Path) -> dict[str, str]:
    write(folder / "one.safetensors", {"a": tensor(0, 4)}, bytes(4))
    write(folder / "two.safetensors", {"b": tensor(0, 4)}, bytes(4))
    return {"a": "one.safetensors", "b": "two.safetensors"}


def write_index(folder: Path, weight_map: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_an_index_gives_the_file_of_every_tensor(tmp_path: Path) -> None:
    weight_map = sharded(tmp_path)
    write_index(tmp_path, weight_map)
    assert read_index(tmp_path) == weight_map


def test_a_single_file_needs_no_index(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", {"a": tensor(0, 4)}, bytes(4))
    assert read_index(tmp_path) == {"a": "model.safetensors"}


def test_a_single_file_must_be_plain_and_alone(tmp_path: Path) -> None:
    other = write(tmp_path / "other.safetensors", {"a": tensor(0, 4)}, bytes(4))
    (tmp_path / "model.safetensors").symlink_to(other)
    with pytest.raises(Corrupt, match=r"^model\.safetensors is a symbolic link"):
        read_index(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    write(tmp_path / "model.safetensors", {"a": tensor(0, 4)}, bytes(4))
    with pytest.raises(Corrupt, match=r"does not name other\.safetensors, which lies beside it"):
        read_index(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": "../one.safetensors"}, "not in its own folder"),
        ({"a": "/etc/passwd"}, "not in its own folder"),
        ({"a": ".."}, "not in its own folder"),
        ({"a": "below\\one.safetensors"}, "not in its own folder"),
        ({"a": "one\n.safetensors"}, "not in its own folder"),
        ({"a": "é" * 128}, "not in its own folder"),
        ({"a": "é" * 127 + "e"}, "which is missing"),
        ({"a": "gone.safetensors"}, "which is missing"),
        ({"a": "link.safetensors"}, "symbolic link"),
        ({"a": "two.safetensors"}, "does not name one.safetensors"),
        ({"c": "two.safetensors"}, "'c', which it does not"),
        ({"b": "one.safetensors", "c": "two.safetensors"}, "holds 'b', which it does not"),
    ],
)
def test_an_index_that_disagrees_with_its_folder_is_refused(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    weight_map = sharded(tmp_path)
    if "link.safetensors" in change.values():
        (tmp_path / "link.safetensors").symlink_to(tmp_path / "one.safetensors")
    write_index(tmp_path, {**weight_map, **change})
    with pytest.raises(Corrupt, match=message):
        read_index(tmp_path)


def test_a_tensor_the_index_does_not_know_is_refused(tmp_path: Path) -> None:
    weight_map = sharded(tmp_path)
    write(tmp_path / "two.safetensors", {"b": tensor(0, 4), "hidden": tensor(4, 8)}, bytes(8))
    write_index(tmp_path, weight_map)
    with pytest.raises(Corrupt, match="'hidden'"):
        read_index(tmp_path)


@pytest.mark.parametrize("weight_map", [None, {}, ["one.safetensors"], {"a": 1}])
def test_an_index_without_a_map_is_refused(tmp_path: Path, weight_map: Any) -> None:
    write_index(tmp_path, weight_map)
    with pytest.raises(Corrupt):
        read_index(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="neither"):
        read_index(tmp_path)
