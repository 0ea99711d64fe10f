"""A number that is none is found in whatever part of a block it lies."""

from pathlib import Path

import numpy as np
import pytest

from tasks.formats.gguf.finite import first_nonfinite
from tasks.formats.gguf.header import Header, TensorInfo
from tasks.formats.gguf.tensor_types import TENSOR_TYPES, TensorType

BY_NAME = {kind.name: kind for kind in TENSOR_TYPES.values()}
BLOCKS = 3


def header_of(path: Path, kind: TensorType, raw: bytes) -> Header:
    path.write_bytes(b"head" * 8 + raw)
    tensor = TensorInfo("blk.0.ffn_down.weight", (kind.block * BLOCKS,), kind, 32)
    return Header(path, 3, {}, (tensor,), len(raw) + 32)


def places() -> list[tuple[str, int]]:
    halves = [(kind.name, offset) for kind in TENSOR_TYPES.values() for offset in kind.halves]
    return [*halves, ("f32", 0)]


@pytest.mark.parametrize(("name", "offset"), places())
@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, offset: int, number: float) -> None:
    monkeypatch.setattr("tasks.formats.gguf.finite.CHUNK", 2)
    kind = BY_NAME[name]
    raw = bytes(kind.bytes * BLOCKS)
    assert first_nonfinite(header_of(tmp_path / "x.gguf", kind, raw)) is None
    stored = np.array([number], "<f4" if name == "f32" else "<f2").tobytes()
    for block in range(BLOCKS):
        start = block * kind.bytes + offset
        spoiled = raw[:start] + stored + raw[start + len(stored) :]
        found = first_nonfinite(header_of(tmp_path / "x.gguf", kind, spoiled))
        assert found is not None and found.name == "blk.0.ffn_down.weight"


def test_quants_are_no_floats(tmp_path: Path) -> None:
    kind = BY_NAME["q8_0"]
    raw = (bytes(2) + b"\xff" * 32) * BLOCKS
    assert first_nonfinite(header_of(tmp_path / "x.gguf", kind, raw)) is None
