"""A model that is not byte for byte the expected one is never published."""

import hashlib
from pathlib import Path

import pytest

from deploy.real import __main__ as real
from deploy.setup.places import home


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    monkeypatch.setattr(real, "DIGESTS", {"config.json": hashlib.sha256(b"{}").hexdigest()})
    folder = home() / "real" / "smollm2-135m-instruct"
    folder.mkdir(parents=True)
    return folder


def test_a_checkpoint_that_is_there_is_published_and_not_made_again(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkpoint / "config.json").write_bytes(b"{}")
    monkeypatch.setattr(real, "rebuild", lambda folder: pytest.fail("it was made again"))
    assert real.main() == 0
    (published,) = (checkpoint.parents[1] / "hub").rglob("config.json")
    assert published.read_bytes() == b"{}"


def test_another_model_than_expected_is_not_published(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(real, "rebuild", lambda folder: (folder / "config.json").write_bytes(b"[]"))
    assert real.main() == 1
    assert capsys.readouterr().err == (
        "real: The rebuilt model is not the expected one: see config.json; nothing is published.\n"
    )
    assert not (checkpoint.parents[1] / "hub").exists()
