"""Pickled weights: refused, or loaded as plain tensors; whatever else is in them is never run."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused
from tasks.source.analyze import analyze_snapshot
from tasks.source.checks import values
from tasks.source.checks.pickles import check_pickles
from tasks.source.parameters import ScanParameters
from tasks.source.scan import scan
from tests.fixtures.checkpoints import llama_tensors, make_checkpoint
from tests.fixtures.context import make_context

pytestmark = pytest.mark.runtime("torch")

REFUSE = ScanParameters(repository="a/b", commit="0" * 40)
CONVERT = ScanParameters(repository="a/b", commit="0" * 40, pickles="convert")


def tensors(**changes: Any) -> dict[str, Any]:
    values = {name: torch.from_numpy(value).bfloat16() for name, value in llama_tensors().items()}
    return {**values, **changes}


def pickled(folder: Path, content: Any, **options: Any) -> Path:
    (make_checkpoint(folder) / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin", **options)
    return folder


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_refused_unless_the_recipe_says_so(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="pytorch_model.bin is a pickle.*'pickles: convert'"):
        check_pickles(Snapshot(pickled(tmp_path, tensors())), REFUSE)


@pytest.mark.parametrize("archive", [True, False])
def test_plain_tensors_pass_the_whole_scan(tmp_path: Path, archive: bool) -> None:
    folder = pickled(tmp_path / "snapshot", tensors(), _use_new_zipfile_serialization=archive)
    facts = scan(CONVERT, make_context(tmp_path / "context", {"snapshot": folder}))
    assert facts["checks"]["pickles"] == facts["checks"]["weight values"] == "passed"


def test_the_analysis_is_that_of_the_same_model_in_safetensors(tmp_path: Path) -> None:
    sound = analyze_snapshot(Snapshot(make_checkpoint(tmp_path / "safetensors")))
    analysis = analyze_snapshot(Snapshot(pickled(tmp_path / "pickled", tensors())))
    assert analysis == sound.model_copy(update={"weight_format": "pytorch"})


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    folder = pickled(tmp_path / "snapshot", tensors(extra=Evil(trace)))
    with pytest.raises(Refused, match="pytorch_model.bin does not load as plain tensors"):
        check_pickles(Snapshot(folder), CONVERT)
    assert not trace.exists()


@pytest.mark.parametrize("content", [[1, 2], {"weight": 3}, {1: 2}])
def test_what_is_no_mapping_of_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(Refused, match="pytorch_model.bin holds"):
        check_pickles(Snapshot(pickled(tmp_path, content)), CONVERT)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no archive", b"no pickle"])
def test_what_is_no_pickle_is_refused(tmp_path: Path, data: bytes) -> None:
    folder = pickled(tmp_path, {})
    (folder / "pytorch_model.bin").write_bytes(data)
    with pytest.raises(Refused, match="does not load as plain tensors"):
        check_pickles(Snapshot(folder), CONVERT)


def test_a_container_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A 7z archive, which scanners of pickles look into, and a program of TorchScript, which is code."""
    folder = pickled(tmp_path / "seven", {})
    (folder / "pytorch_model.bin").write_bytes(b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(100))
    script = pickled(tmp_path / "script", {})
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(script / "pytorch_model.bin"))
    for snapshot in (folder, script):
        with pytest.raises(Refused, match=r"pytorch_model\.bin does not load as plain tensors"):
            check_pickles(Snapshot(snapshot), CONVERT)


def test_other_pickles_are_refused_always(tmp_path: Path) -> None:
    folder = pickled(tmp_path, tensors())
    (folder / "optimizer.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(Refused, match="optimizer.pkl is a pickle that is not part of the weights"):
        check_pickles(Snapshot(folder), CONVERT)


def test_a_wrong_number_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "BLOCK_BYTES", 16)
    spoiled = torch.ones(64)
    spoiled[5] = float("inf")
    # A mask that nothing reads may be infinite, and does not end the search.
    mask = {"model.layers.0.attention.masked_bias": torch.tensor(-float("inf"))}
    folder = pickled(tmp_path / "snapshot", {**mask, **tensors(**{"model.norm.weight": spoiled})})
    with pytest.raises(Corrupt, match="'model.norm.weight' is NaN or infinite at element 5"):
        scan(CONVERT, make_context(tmp_path / "context", {"snapshot": folder}))


def test_shards(tmp_path: Path) -> None:
    folder = pickled(tmp_path / "snapshot", {})
    (folder / "pytorch_model.bin").unlink()
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    whole = tensors()
    shares = [dict(list(whole.items())[part::2]) for part in (0, 1)]
    for name, share in zip(names, shares, strict=True):
        torch.save(share, folder / name)
    weight_map = {key: name for name, share in zip(names, shares, strict=True) for key in share}
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert len(Snapshot(folder).tensors) == len(whole)
    first = next(iter(weight_map))
    for wrong in ({**weight_map, first: names[1]}, {**weight_map, "more": names[0]}, {"more": names[0]}):
        index.write_text(json.dumps({"weight_map": wrong}))
        with pytest.raises(Corrupt, match=rf"{index.name} and pytorch_model-.* disagree about tensor|'more'"):
            assert Snapshot(folder).tensors
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.bin"}}))
    with pytest.raises(Corrupt, match="which is not in its own folder"):
        assert Snapshot(folder).tensors


def repacked(path: Path, compression: int, extra: bytes = b"") -> None:
    """Write the archive anew, its members packed otherwise, and one more member of these bytes."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in {**members, **({"archive/data/999": extra} if extra else {})}.items():
            archive.writestr(name, data)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    folder = pickled(tmp_path / "snapshot", tensors())
    repacked(folder / "pytorch_model.bin", zipfile.ZIP_DEFLATED, bytes(300_000_000))
    assert (folder / "pytorch_model.bin").stat().st_size < 2_000_000
    with pytest.raises(
        Refused, match="pytorch_model.bin is an archive with the compressed member .*; do not use this file"
    ):
        check_pickles(Snapshot(folder), CONVERT)


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    folder = pickled(tmp_path / "snapshot", tensors())
    path = folder / "pytorch_model.bin"
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        start = archive.start_dir
    entry = data.find(b"PK\x01\x02", start)
    while entry >= 0:
        # Sizes, and the offset of the member, in the archive's directory (APPNOTE.TXT of the zip format, 4.3.12).
        data[entry + 20 : entry + 28] = 2 * largest.file_size.to_bytes(4, "little")
        data[entry + 42 : entry + 46] = largest.header_offset.to_bytes(4, "little")
        entry = data.find(b"PK\x01\x02", entry + 4)
    path.write_bytes(data)
    with pytest.raises(Refused, match="pytorch_model.bin is an archive with overlapping members"):
        check_pickles(Snapshot(folder), CONVERT)


@pytest.mark.parametrize("archive", [True, False])
def test_a_tensor_that_repeats_one_number_is_refused(tmp_path: Path, archive: bool) -> None:
    bomb = torch.ones(1).expand(1_000_000, 1_000_000)
    folder = pickled(tmp_path / "snapshot", tensors(bomb=bomb), _use_new_zipfile_serialization=archive)
    with pytest.raises(Refused, match="up to tensor 'bomb', the tensors take more than 2 times the file's own bytes"):
        check_pickles(Snapshot(folder), CONVERT)


def test_many_views_of_one_storage_are_refused(tmp_path: Path) -> None:
    whole = torch.ones(100_000)
    folder = pickled(tmp_path / "snapshot", {f"view{number}": whole for number in range(50)})
    with pytest.raises(Refused, match="several of them share the same bytes"):
        check_pickles(Snapshot(folder), CONVERT)


@pytest.mark.parametrize(
    "odd",
    [
        torch.sparse_coo_tensor([[0], [0]], [1.0], (10**6, 10**6)),
        torch.empty(10**6, 10**6, device="meta"),
        torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.quint8),
        np.array([{}], dtype=object),
        {"nested": torch.ones(2)},
        torch.nn.Linear(2, 2),
    ],
    ids=["sparse", "meta", "quantized", "numpy objects", "nested", "module"],
)
def test_what_is_no_plain_tensor_is_refused(tmp_path: Path, odd: Any) -> None:
    folder = pickled(tmp_path / "snapshot", tensors(odd=odd))
    with pytest.raises(Refused, match="pytorch_model.bin(: tensor| holds) 'odd'|does not load as plain tensors"):
        check_pickles(Snapshot(folder), CONVERT)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_pickle_under_another_name_is_not_run(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace"
    for protocol in (0, 4):
        folder = make_checkpoint(tmp_path / f"snapshot{protocol}")
        (folder / name).write_bytes(pickle.dumps(Evil(trace), protocol))
        with pytest.raises(Corrupt, match=name):
            scan(CONVERT, make_context(tmp_path / f"context{protocol}", {"snapshot": folder}))
    assert not trace.exists()
