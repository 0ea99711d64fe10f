"""A sound snapshot passes every check and says what was looked at; each planted fault ends the scan and is named."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from tasks.errors import Corrupt, Refused, TerminalError
from tasks.source.parameters import ScanParameters
from tasks.source.scan import CHECKS, Checker, scan
from tasks.source.scan_record import ScanRecord
from tests.fixtures.checkpoints import LAYERS, VOCABULARY, make_checkpoint
from tests.fixtures.context import make_context

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)


@pytest.fixture(autouse=True)
def without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """This environment has no transformers; checks/test_architecture.py runs the whole scan where it is."""
    for name in ("needed code", "architecture"):
        monkeypatch.delitem(cast(dict[str, Checker], CHECKS), name)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_sound_snapshot_passes(tmp_path: Path, shards: int, dtype: str) -> None:
    folder = make_checkpoint(tmp_path / "snapshot", shards=shards, dtype=dtype, tied=shards == 1)
    context = make_context(tmp_path, {"snapshot": folder})
    facts = scan(PARAMETERS, context)
    record = ScanRecord.from_json((context.output / "scan.json").read_bytes())
    assert [check.name for check in record.checks] == list(CHECKS)
    not_applicable = {name for name, outcome in facts["checks"].items() if outcome != "passed"}
    assert not_applicable == {"custom code", "pickles"}
    details = {check.name: check.detail for check in record.checks}
    assert f"vocabulary {VOCABULARY}, hidden size 64, {LAYERS} layers" in details["configuration against weights"]
    assert details["weight headers"].endswith(f"tensors in {shards} files of safetensors")
    assert len(context.messages) == len(CHECKS)


def spoil_values(folder: Path) -> None:
    make_checkpoint(folder, tensors={"model.norm.weight": np.full(64, np.nan, np.float32)})


def spoil_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-2])


def spoil_config(folder: Path) -> None:
    make_checkpoint(folder, config={"num_hidden_layers": LAYERS + 1})


def spoil_code(folder: Path) -> None:
    make_checkpoint(folder, config={"auto_map": {"AutoConfig": "configuration_x.Config"}})


def spoil_pickles(folder: Path) -> None:
    (folder / "training_args.bin").write_bytes(b"x")


def spoil_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for x in %}")


def spoil_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def spoil_paths(folder: Path) -> None:
    (folder / "NOTICE").symlink_to("/etc/hostname")


def spoil_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (spoil_values, Corrupt, "model.norm.weight"),
        (spoil_header, Corrupt, "model.safetensors: the file is cut short"),
        (spoil_config, Corrupt, "num_hidden_layers is 3, but the weights have no layer 2"),
        (spoil_code, Refused, "auto_map names code of the repository"),
        (spoil_pickles, Refused, "training_args.bin is a pickle"),
        (spoil_template, Corrupt, "chat_template.jinja"),
        (spoil_tokenizer, Corrupt, "tokenizer.json does not load"),
        (spoil_paths, Corrupt, "NOTICE is a symbolic link"),
        (spoil_weights, Corrupt, "model.safetensors is a symbolic link"),
    ],
)
def test_each_fault_ends_the_scan(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[TerminalError], message: str
) -> None:
    folder = make_checkpoint(tmp_path / "snapshot")
    spoil(folder)
    context = make_context(tmp_path, {"snapshot": folder})
    with pytest.raises(error, match=message):
        scan(PARAMETERS, context)
    assert not (context.output / "scan.json").exists()
