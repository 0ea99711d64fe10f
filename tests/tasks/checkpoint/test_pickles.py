"""Pickled weights are plain tensors, as many as the index says, and no larger than their file."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from tasks.checkpoint.pickles import BIN_FILE, BIN_INDEX, load_tensors, read_shapes, read_tensors, weight_files
from tasks.checkpoint.tensor import Tensor
from tasks.errors import Corrupt, Refused

PLAIN = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}


def write_index(folder: Path, weight_map: dict[str, str]) -> None:
    (folder / BIN_INDEX).write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_read_from_both_kinds_of_files(tmp_path: Path, zipped: bool) -> None:
    torch.save(PLAIN, tmp_path / BIN_FILE, _use_new_zipfile_serialization=zipped)
    found = read_tensors(tmp_path)
    assert {name: (file, value.tolist()) for name, (file, value) in found.items()} == {
        name: (BIN_FILE, value.tolist()) for name, value in PLAIN.items()
    }
    assert read_shapes(tmp_path) == {
        "a.weight": Tensor("F32", (2, 3), 24, BIN_FILE),
        "b": Tensor("I64", (2,), 16, BIN_FILE),
    }


class Harmful:
    """Pickled, it would run a command when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, zipped: bool) -> None:
    state = {"a": torch.zeros(1), "b": Harmful(tmp_path / "ran")}
    torch.save(state, tmp_path / BIN_FILE, _use_new_zipfile_serialization=zipped)
    with pytest.raises(Refused, match=r"pytorch_model\.bin does not load as plain tensors"):
        read_tensors(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data", [b"\x80\x02X\x01", b"\x80\x02M", b"\x80\x02}q", b"PK\x03\x04", b"PK\x03\x04 cut", b"\x80\x02cos\nsystem\n"]
)
def test_one_that_ends_too_soon_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / BIN_FILE).write_bytes(data)
    with pytest.raises(Refused, match=r"pytorch_model\.bin does not load as plain tensors"):
        read_shapes(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.zeros(2)], "holds a list, not a mapping of names to tensors"),
        ({"a": torch.zeros(2), "step": 5}, "holds 'step', which is a int and not a tensor"),
        ({7: torch.zeros(2)}, "holds 7, which is a Tensor and not a tensor"),
        ({"a": torch.eye(3).to_sparse()}, "tensor 'a' is not stored as plain numbers"),
        ({"a": torch.zeros(2, device="meta")}, "tensor 'a' is not stored as plain numbers"),
    ],
)
def test_anything_but_named_plain_tensors_is_refused(content: Any, reason: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / BIN_FILE)
    with pytest.raises(Refused, match=rf"pytorch_model\.bin:? {reason}"):
        read_tensors(tmp_path)


def test_a_tied_tensor_may_show_its_bytes_twice_and_no_oftener(tmp_path: Path) -> None:
    shared = torch.zeros(4096)
    torch.save({"a": shared, "b": shared}, tmp_path / BIN_FILE)
    assert list(read_tensors(tmp_path)) == ["a", "b"]
    torch.save({"a": shared, "b": torch.as_strided(shared, (3, 4096), (0, 1))}, tmp_path / BIN_FILE)
    with pytest.raises(Refused, match="up to tensor 'b', the tensors take more than 2 times the file's own bytes"):
        read_tensors(tmp_path)


def test_an_archive_that_unpacks_to_more_than_its_bytes_is_refused(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.save(PLAIN, made)
    with zipfile.ZipFile(made) as sound, zipfile.ZipFile(tmp_path / BIN_FILE, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in sound.namelist():
            packed.writestr(member, sound.read(member))
    with pytest.raises(Refused, match="is an archive with the compressed member '.+', which torch never writes"):
        list(load_tensors(tmp_path / BIN_FILE))


def test_a_type_that_safetensors_lacks_is_corrupt(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2, dtype=torch.complex128)}, tmp_path / BIN_FILE)
    with pytest.raises(Corrupt, match="tensor 'a' has the type torch.complex128"):
        read_shapes(tmp_path)


def test_files_and_their_index_must_agree(tmp_path: Path) -> None:
    torch.save(PLAIN, tmp_path / "one.bin")
    write_index(tmp_path, dict.fromkeys(PLAIN, "one.bin"))
    assert weight_files(tmp_path) == ["one.bin"]
    assert list(read_tensors(tmp_path)) == list(PLAIN)
    write_index(tmp_path, {"a.weight": "one.bin"})
    with pytest.raises(Corrupt, match=r"disagree about tensor 'b'"):
        read_tensors(tmp_path)
    write_index(tmp_path, {**dict.fromkeys(PLAIN, "one.bin"), "c": "one.bin"})
    with pytest.raises(Corrupt, match=r"disagree about tensor 'c'"):
        read_tensors(tmp_path)
    write_index(tmp_path, dict.fromkeys(PLAIN, "../one.bin"))
    with pytest.raises(Corrupt, match="not in its own folder"):
        read_tensors(tmp_path)


def test_a_tensor_in_two_files_is_corrupt(tmp_path: Path) -> None:
    for name in ("one.bin", "two.bin"):
        torch.save(PLAIN, tmp_path / name)
    write_index(tmp_path, {"a.weight": "one.bin", "b": "two.bin"})
    with pytest.raises(Corrupt, match=r"Both one\.bin and two\.bin hold tensor 'a\.weight'"):
        read_tensors(tmp_path)


def test_what_is_refused_is_live(tmp_path: Path) -> None:
    """Python's own pickle does run it."""
    pickle.loads(pickle.dumps(Harmful(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()
