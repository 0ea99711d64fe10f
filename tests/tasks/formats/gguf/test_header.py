"""The header reader believes nothing: every cut and every altered count is told, none crashes it."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import Corrupt
from tasks.formats.gguf.header import ArrayValue, read_header
from tests.tasks.formats.gguf.writer import string, tensor_info, value, write_gguf

METADATA = {
    "general.architecture": "llama",
    "llama.context_length": 256,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.ggml.tokens": ["<s>", "é", "日本"],
    "tokenizer.ggml.token_type": [3, 1, 1],
}
TENSORS = {"token_embd.weight": (32, 3), "output_norm.weight": (32,)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf", METADATA, TENSORS)


def test_what_is_written_is_read(path: Path) -> None:
    header = read_header(path)
    assert header.metadata == {
        **METADATA,
        "tokenizer.ggml.tokens": ArrayValue(3),
        "tokenizer.ggml.token_type": ArrayValue(3),
    }
    assert {tensor.name: tensor.dimensions for tensor in header.tensors} == TENSORS
    first, second = header.tensors
    assert (first.bytes, second.start - first.start, second.start + second.bytes) == (384, 384, header.size)


def test_every_cut_is_reported(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Corrupt, match=r"tiny\.gguf"):
            read_header(path)


def test_bytes_after_the_last_tensor_are_reported(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(64))
    with pytest.raises(Corrupt, match="64 bytes after its last tensor"):
        read_header(path)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 620), byte=st.integers(0, 255))
def test_an_altered_byte_is_read_or_reported(tmp_path_factory: pytest.TempPathFactory, place: int, byte: int) -> None:
    path = write_gguf(tmp_path_factory.mktemp("altered") / "tiny.gguf", METADATA, TENSORS)
    raw = bytearray(path.read_bytes())
    raw[min(place, len(raw) - 1)] = byte
    path.write_bytes(raw)
    try:
        read_header(path)
    except Corrupt as error:
        assert str(error).startswith("tiny.gguf ")


def padded(raw: bytes, data: int) -> bytes:
    """Return a header with its padding and `data` bytes of tensors."""
    return raw + bytes(-len(raw) % 32 + data)


def head(tensors: int, pairs: int, body: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + body


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "is empty"),
        (b"GGML" + bytes(60), "does not begin with 'GGUF'"),
        (head(0, 0, b"", version=1), "version 1"),
        (head(2**60, 0, b""), "tensors, more than fit"),
        (head(0, 2**60, b""), "key-value pairs, more than fit"),
        (head(0, 1, struct.pack("<Q", 2**62) + bytes(64)), "bytes of a string, more than fit"),
        (head(0, 1, string("key") + struct.pack("<IIQ", 9, 8, 2**61)), "strings in 'key', more than fit"),
        (head(0, 1, string("key") + struct.pack("<IIQ", 9, 4, 2**61)), "numbers in 'key', more than fit"),
        (
            head(0, 1, string("key") + struct.pack("<IIQ", 9, 77, 1) + bytes(16)),
            "array of the unknown type 77 in 'key'",
        ),
        (
            head(0, 1, string("key") + struct.pack("<IIQQ", 9, 8, 2, 17) + bytes(16)),
            "claims 17 bytes of a string in 'key', more than fit",
        ),
        (head(0, 1, string("key") + struct.pack("<I", 77) + bytes(16)), "unknown type 77 in 'key'"),
        (head(0, 2, 2 * (string("key") + value("x"))), "'key' twice"),
        (head(1, 0, tensor_info("w", (32, 1, 1, 1, 1), 0, 0) + bytes(200)), "5 dimensions"),
        (head(1, 0, tensor_info("w", (32,), 99, 0) + bytes(200)), "unknown type 99"),
        (head(1, 0, tensor_info("w", (33,), 8, 0) + bytes(200)), r"shape \[33\]"),
        (head(1, 0, tensor_info("w", (32,), 0, 32) + bytes(200)), "but it must be at 0"),
        # Apart from its name, the second tensor is sound.
        (padded(head(2, 0, tensor_info("w", (32,), 0, 0) + tensor_info("w", (32,), 0, 128)), 256), "tensor 'w' twice"),
        (head(1, 0, tensor_info("w", (2**40,), 0, 0) + bytes(200)), "ends inside the data"),
        (head(1, 0, tensor_info("w" * 64, (32,), 0, 0) + bytes(200)), "invalid name"),
        (head(1, 0, tensor_info("w", (), 0, 0) + bytes(200)), "0 dimensions"),
        (head(1, 0, tensor_info("w", (32, 0), 0, 0) + bytes(200)), r"shape \[32, 0\]"),
        (head(1, 0, tensor_info("w", (3, 32), 8, 0) + bytes(200)), r"shape \[3, 32\]"),
        # Counts have no sign.
        (head(2**64 - 1, 0, b""), "claims 18446744073709551615 tensors, more than fit"),
        (head(0, 2**64 - 1, b""), "claims 18446744073709551615 key-value pairs, more than fit"),
        (head(0, 1, string("key") + struct.pack("<IIQ", 9, 8, 2**64 - 1)), "strings in 'key', more than fit"),
        (head(0, 1, string("key") + struct.pack("<IIQ", 9, 4, 2**64 - 1)), "numbers in 'key', more than fit"),
        # One number of four bytes more than there are.
        (head(0, 1, string("key") + struct.pack("<IIQ", 9, 4, 51) + bytes(200)), "numbers in 'key', more than fit"),
        (head(1, 0, tensor_info("w", (2**64 - 32,), 0, 0) + bytes(200)), "ends inside the data"),
        (head(0, 1, string("general.alignment") + value(24)), "alignment 24, which is not a power of 2"),
        (head(0, 1, string("general.alignment") + value(0)), "alignment 0, which is not a power of 2"),
        (head(0, 1, string("general.alignment") + value("32")), "alignment '32', which is not a power of 2"),
        (head(0, 1, string("general.alignment") + struct.pack("<Ii", 5, -32)), "alignment -32, which is not a power"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, raw: bytes, says: str) -> None:
    path = tmp_path / "lie.gguf"
    path.write_bytes(raw)
    with pytest.raises(Corrupt, match=says):
        read_header(path)


def test_values_of_another_kind_are_reported(path: Path) -> None:
    header = read_header(path)
    assert header.text("absent") is None
    with pytest.raises(Corrupt, match="must be a string"):
        header.text("llama.context_length")
    with pytest.raises(Corrupt, match="must be a number"):
        header.number("general.architecture")
    assert header.number("llama.context_length") == 256 and header.number("absent") is None
    assert header.length("tokenizer.ggml.tokens") == 3
    assert header.length("llama.context_length") is None is header.length("absent")


def test_every_type_of_number_is_read(tmp_path: Path) -> None:
    # By the file's own identifiers: integers of 8, 16, 32 and 64 bits, a bool and floats.
    numbers = {
        0: ("<B", 2**8 - 1),
        1: ("<b", -(2**7)),
        2: ("<H", 2**16 - 1),
        3: ("<h", -(2**15)),
        4: ("<I", 2**32 - 1),
        5: ("<i", -(2**31)),
        6: ("<f", 0.5),
        7: ("<?", True),
        10: ("<Q", 2**64 - 1),
        11: ("<q", -(2**63)),
        12: ("<d", 0.1),
    }
    pairs = b"".join(
        string(str(kind)) + struct.pack("<I", kind) + struct.pack(form, number)
        for kind, (form, number) in numbers.items()
    )
    path = tmp_path / "numbers.gguf"
    path.write_bytes(head(0, len(numbers), pairs, version=2))
    assert read_header(path).metadata == {str(kind): number for kind, (_, number) in numbers.items()}


@pytest.mark.parametrize(
    "pair",
    [
        string("") + value(True),
        string("key") + struct.pack("<IIQ", 9, 8, 2) + string("") + string(""),
        string("key") + struct.pack("<IIQ", 9, 8, 1) + string("last"),
    ],
    ids=["the smallest pair", "empty strings", "a string"],
)
def test_what_ends_with_the_file_is_whole(tmp_path: Path, pair: bytes) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(head(0, 1, pair))
    assert len(read_header(path).metadata) == 1


def test_tensors_at_the_limits_are_read(tmp_path: Path) -> None:
    shapes = {"w" * 63: (32, 1, 1, 2), "quantized": (64, 3), "one": (1,)}
    path = write_gguf(tmp_path / "limits.gguf", {}, shapes, {"quantized": "q8_0"})
    header = read_header(path)
    assert {tensor.name: tensor.dimensions for tensor in header.tensors} == shapes
    assert [tensor.bytes for tensor in header.tensors] == [4 * 64, 34 * 6, 4]


def test_an_alignment_of_one_leaves_no_padding(tmp_path: Path) -> None:
    path = tmp_path / "dense.gguf"
    body = string("general.alignment") + value(1) + tensor_info("w", (3,), 0, 0)
    path.write_bytes(head(1, 1, body + bytes(12)))
    (tensor,) = read_header(path).tensors
    assert tensor.start + tensor.bytes == path.stat().st_size
