"""What the hand-written script was killed in, or other code made, is made anew."""

from pathlib import Path
from typing import Any

import pytest

from bench.by_hand.script import ByHand
from bench.places import Places


def script(folder: Path, code: str = "a") -> ByHand:
    return ByHand(Places(folder), folder / "by-hand", {}, {}, code)


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(self: ByHand, kind: str, target: str) -> list[str]:
        return ["sh", "-c", "mkdir half; exit 1"] if target == "killed" else ["mkdir", "whole"]

    def environment(self: Places, state: Path) -> dict[str, Any]:
        return {"PATH": "/usr/bin:/bin", "PYTHONPATH": ""}

    monkeypatch.setattr(ByHand, "command", command)
    monkeypatch.setattr(Places, "environment", environment)
    monkeypatch.setattr("bench.by_hand.script.task_variables", lambda threads: {})


def test_what_ended_well_is_made(tmp_path: Path) -> None:
    assert not script(tmp_path).made("convert:whole")
    script(tmp_path).run("convert:whole")
    assert script(tmp_path).made("convert:whole")
    assert not script(tmp_path, code="b").made("convert:whole")


def test_what_failed_is_not_made_whatever_lies_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="convert:killed"):
        script(tmp_path).run("convert:killed")
    assert (tmp_path / "by-hand" / "half").exists()
    assert not script(tmp_path).made("convert:killed")
