"""An artifact is inspected before its engine sees it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Corrupt, InvalidRecipe
from tasks.formats.registry import load_format, parse_target
from tasks.proving import opening
from tasks.proving.opening import check_artifact, open_artifact

TARGET = parse_target("gguf-q8_0")


def modules(monkeypatch: pytest.MonkeyPatch, inspect: Callable[[Path], Any], calls: list[Any]) -> None:
    """Put stand-ins in place of the format's `inspect` and the engine's runner."""
    known = load_format(TARGET.format)

    def open_runner(folder: Path, threads: int) -> str:
        calls.append((folder, threads))
        return "the runner"

    made = {known.inspect: inspect, known.engine(TARGET).runner: open_runner}
    monkeypatch.setattr(opening, "resolve_name", made.__getitem__)


def test_a_sound_artifact_is_opened_by_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    modules(monkeypatch, calls.append, calls)
    runner: Any = open_artifact(TARGET, tmp_path, 3)
    assert runner == "the runner"
    assert calls == [tmp_path, (tmp_path, 3)]


def test_an_artifact_is_checked_once_and_may_be_loaded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    modules(monkeypatch, calls.append, calls)
    load: Any = check_artifact(TARGET, tmp_path, 3)
    assert calls == [tmp_path]
    assert [load(), load()] == ["the runner"] * 2
    assert calls == [tmp_path, (tmp_path, 3), (tmp_path, 3)]


def test_an_artifact_that_inspect_refuses_never_reaches_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise Corrupt("planted; make it again.")

    calls: list[Any] = []
    modules(monkeypatch, refuse, calls)
    with pytest.raises(Corrupt, match="planted"):
        open_artifact(TARGET, tmp_path, 1)
    assert calls == []


def test_a_format_that_nobody_knows_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecipe, match="unheard"):
        open_artifact(TARGET.model_copy(update={"format": "unheard"}), tmp_path, 1)
