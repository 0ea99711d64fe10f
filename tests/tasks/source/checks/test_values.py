"""One wrong number anywhere, in every type, is found and placed; the largest sound ones are not mistaken for it."""

from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoint.dtypes import DTYPES
from tasks.checkpoint.headers import TensorEntry
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.source.checks import values
from tasks.source.checks.values import NOT_FINITE, check_values, first_not_finite
from tasks.source.parameters import ScanParameters
from tests.fixtures.checkpoints import make_checkpoint

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_wrong_number_is_found_and_placed(tmp_path: Path, dtype: str, wrong: float) -> None:
    spoiled = np.ones((128, 64), np.float32)
    spoiled[127, 5] = wrong
    folder = make_checkpoint(tmp_path, dtype=dtype, shards=2, tensors={"model.layers.1.mlp.up_proj.weight": spoiled})
    with pytest.raises(
        Corrupt,
        match=rf"model-0000\d-of-00002.safetensors: tensor 'model.layers.1.mlp.up_proj.weight' .* {127 * 64 + 5};",
    ):
        check_values(Snapshot(folder), PARAMETERS)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_largest_numbers_are_sound(tmp_path: Path, dtype: str) -> None:
    largest = {"bfloat16": 3.38e38, "float16": 65504.0, "float32": 3.4028e38}[dtype]
    extreme = np.array([largest, -largest, 1e-40, 0.0], np.float32)
    folder = make_checkpoint(tmp_path, dtype=dtype, tensors={"model.norm.weight": extreme})
    assert check_values(Snapshot(folder), PARAMETERS)[1] is True


def test_a_mask_that_nothing_reads_may_be_infinite(tmp_path: Path) -> None:
    """GPT-NeoX's checkpoints in 16 bits have one in each layer."""
    mask = {"model.layers.0.attention.masked_bias": np.array(-np.inf, np.float32)}
    assert check_values(Snapshot(make_checkpoint(tmp_path, dtype="float16", tensors=mask)), PARAMETERS)[1] is True


def test_what_follows_a_mask_that_nothing_reads_is_checked(tmp_path: Path) -> None:
    mask = {"model.layers.0.attention.masked_bias": np.array(-np.inf, np.float32)}
    folder = make_checkpoint(tmp_path, tensors={**mask, "model.later.weight": np.array([0.0, np.nan], np.float32)})
    with pytest.raises(Corrupt, match=r"'model\.later\.weight' is NaN or infinite at element 1;"):
        check_values(Snapshot(folder), PARAMETERS)


def test_the_size_of_what_was_checked_is_told(tmp_path: Path) -> None:
    snapshot = Snapshot(make_checkpoint(tmp_path, dtype="float32", shards=2))
    checked = sum(tensor.size for tensor in snapshot.tensors.values()) / 1e6
    assert checked > 0.1
    assert check_values(snapshot, PARAMETERS) == (f"{checked:.1f} MB of numbers, all finite", True)


@pytest.mark.parametrize("place", [0, 1, 7, 8, 99])
def test_block_borders_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.setattr(values, "BLOCK_BYTES", 16)
    spoiled = np.ones(100, np.float32)
    spoiled[place] = np.nan
    folder = make_checkpoint(tmp_path, dtype="float32", tensors={"model.norm.weight": spoiled})
    with pytest.raises(Corrupt, match=rf"'model.norm.weight' is NaN or infinite at element {place};"):
        check_values(Snapshot(folder), PARAMETERS)


PATTERNS = {
    "F64": [b"\0\0\0\0\0\0\xf0\x7f", b"\1\0\0\0\0\0\xf8\xff"],
    "F32": [b"\1\0\x80\x7f"],
    "F16": [b"\1\x7c"],
    "BF16": [b"\x81\x7f"],
    "C64": [b"\0\0\x80\x3f\0\0\x80\x7f", b"\0\0\x80\x3f\1\0\x80\x7f"],
    "F8_E5M2": [b"\x7c", b"\xfc", b"\x7f"],
    "F8_E4M3": [b"\x7f", b"\xff"],
    "F8_E8M0": [b"\xff"],
    "F8_E5M2FNUZ": [b"\x80"],
    "F8_E4M3FNUZ": [b"\x80"],
}
SOUND = {
    "F8_E5M2": b"\x7b\xfb",
    "F8_E4M3": b"\x7e\xfe\x7c",
    "F8_E8M0": b"\x7f\x80",
    "F8_E5M2FNUZ": b"\x7f\x81\xff",
    "F8_E4M3FNUZ": b"\x7f\x81\xff",
}


@pytest.mark.parametrize(("dtype", "pattern"), [(dtype, one) for dtype in PATTERNS for one in PATTERNS[dtype]])
def test_the_rarer_types(tmp_path: Path, dtype: str, pattern: bytes) -> None:
    width = DTYPES[dtype].bits // 8
    data = SOUND.get(dtype, b"") + bytes(3 * width) + pattern
    path = tmp_path / "data"
    path.write_bytes(b"header" + data)
    entry = TensorEntry(dtype, (len(data) // width,), 6, 6 + len(data))
    with path.open("rb", buffering=0) as source:
        # Blocks of two numbers: a block of the sound part must not reach into what follows it.
        assert first_not_finite(source, entry, memoryview(bytearray(2 * width))) == len(data) // width - 1
        sound = TensorEntry(dtype, (len(data) // width - 1,), 6, 6 + len(data) - width)
        assert first_not_finite(source, sound, memoryview(bytearray(2 * width))) is None


def test_integers_are_always_finite(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"\xff" * 16)
    with path.open("rb", buffering=0) as source:
        assert first_not_finite(source, TensorEntry("I64", (2,), 0, 16), memoryview(bytearray(64))) is None
    assert set(NOT_FINITE) <= set(DTYPES)


@pytest.mark.timeout(20)
def test_a_file_that_becomes_shorter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(15))
    with path.open("rb", buffering=0) as source, pytest.raises(Corrupt, match="became shorter while it was read"):
        first_not_finite(source, TensorEntry("F32", (4,), 0, 16), memoryview(bytearray(8)))
