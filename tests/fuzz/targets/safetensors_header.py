"""A safetensors file: the bytes as they are, and as a header whose length is right, with some data behind it."""

import struct
from pathlib import Path

from tasks.checkpoint.headers import read_header
from tests.fuzz.target import Target

DATA_BYTES = 16


def parse(data: bytes, folder: Path) -> None:
    path = folder / "model.safetensors"
    if data[:1] == b"{":
        data = struct.pack("<Q", len(data)) + data + bytes(DATA_BYTES)
    path.write_bytes(data)
    header = read_header(path)
    assert sum(entry.size for entry in header.tensors.values()) + header.header_bytes == len(data)


TARGET = Target(
    parse=parse,
    measured={
        "tasks/checkpoint/headers.py": ["read_header", "_parse", "_entry", "_is_count", "_check_layout"],
    },
    runs=20_000,
    floor=93,
    json=True,
    longest=16_000,
    words=(
        '"dtype"',
        '"shape"',
        '"data_offsets"',
        '"BF16"',
        '"F32"',
        '"F4"',
        "[0,16]",
        "__metadata__",
        "1e999",
        '{"a":',
    ),
)
