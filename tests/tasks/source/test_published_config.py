"""Of a repository, config.json alone is read before the release is decided on."""

import time
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Corrupt, NotFound, Unsupported
from tasks.source.hub import read_repository
from tasks.source.published_config import check_unquantized, read_config
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.context import make_context
from tests.fixtures.servers import HubMirror


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))


def logged(mirror: HubMirror, repository: str) -> list[dict[str, Any]]:
    """Return the requests; a line comes into the log a moment after its answer."""
    end = time.monotonic() + 10
    while not (rows := mirror.requests(repository)) and time.monotonic() < end:
        time.sleep(0.05)
    return rows


def test_no_other_file_is_asked_for(hub_mirror: HubMirror, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint")
    hub_mirror.add("early/sound", {path.name: path for path in folder.iterdir()})
    repository, context = read_repository("early/sound", "main", print), make_context(tmp_path / "work")
    config = read_config(repository, context)
    check_unquantized(repository, config)
    assert config.model_type == "llama"
    assert {row["file"] for row in logged(hub_mirror, "early/sound")} == {"config.json"}
    assert list(context.output.iterdir()) == []


def test_a_quantized_model_is_refused(hub_mirror: HubMirror, tmp_path: Path) -> None:
    config = b'{"model_type": "llama", "quantization_config": {"quant_method": "gptq"}}'
    hub_mirror.add("early/gptq", {"config.json": config})
    repository = read_repository("early/gptq", "main", print)
    with pytest.raises(Unsupported, match=r"config\.json of early/gptq has a quantization_config \(gptq\)"):
        check_unquantized(repository, read_config(repository, make_context(tmp_path / "work")))


def test_none_and_a_wrong_one_are_named(hub_mirror: HubMirror, tmp_path: Path) -> None:
    hub_mirror.add("early/none", {"README.md": b"text"})
    with pytest.raises(NotFound, match=r"early/none has no config\.json"):
        read_config(read_repository("early/none", "main", print), make_context(tmp_path / "none"))
    hub_mirror.add("early/wrong", {"config.json": b"[]"})
    with pytest.raises(Corrupt, match=r"config\.json is not a JSON object"):
        read_config(read_repository("early/wrong", "main", print), make_context(tmp_path / "wrong"))
