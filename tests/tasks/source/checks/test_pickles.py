"""Pickled weights: refused, or loaded as plain tensors; whatever else is in them is never run."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tasks.errors import Corrupt, Refused
from tasks.source.analyze import analyze_snapshot
from tasks.source.checks.pickles import check_pickles
from tasks.source.parameters import ScanParameters
from tasks.source.scan import scan
from tasks.source.snapshot import Snapshot
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


def test_other_pickles_are_refused_always(tmp_path: Path) -> None:
    folder = pickled(tmp_path, tensors())
    (folder / "optimizer.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(Refused, match="optimizer.pkl is a pickle, and no part of the weights"):
        check_pickles(Snapshot(folder), CONVERT)


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    spoiled = torch.ones(64)
    spoiled[5] = float("inf")
    folder = pickled(tmp_path / "snapshot", tensors(**{"model.norm.weight": spoiled}))
    with pytest.raises(Corrupt, match="'model.norm.weight' is NaN or infinite at element 5"):
        scan(CONVERT, make_context(tmp_path / "context", {"snapshot": folder}))


def test_shards(tmp_path: Path) -> None:
    folder = pickled(tmp_path / "snapshot", {})
    (folder / "pytorch_model.bin").unlink()
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    values = tensors()
    shares = [dict(list(values.items())[part::2]) for part in (0, 1)]
    for name, share in zip(names, shares, strict=True):
        torch.save(share, folder / name)
    weight_map = {key: name for name, share in zip(names, shares, strict=True) for key in share}
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert len(Snapshot(folder).tensors) == len(values)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.bin"}}))
    with pytest.raises(Corrupt, match="which is no file of the snapshot"):
        assert Snapshot(folder).tensors
