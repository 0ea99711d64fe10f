"""The command line: one line when nothing is to do, one sentence and status 1 when something cannot be done."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.setup.places import PROJECT


def said_by(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up as a user does."""
    return subprocess.run([sys.executable, "-m", "deploy.setup", *words], cwd=PROJECT, capture_output=True, text=True)


def test_nothing_to_do_is_one_line() -> None:
    assert said_by("env", "build").returncode == 0
    again = said_by("env", "build")
    assert again.stdout == "environments unchanged: build\n"
    assert again.stderr == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("env", "build", "nope"), "set-up: There is no runtime 'nope': name one of audit, build, "),
        (("lock", "nope"), "set-up: There is no runtime 'nope': name some of audit, build, consumer, "),
        (("env",), "set-up: No runtime is named: name some of audit, build, "),
        (("llama.cpp", "nope"), "set-up: llama.cpp has no part 'nope' here: name some of lib, "),
    ],
)
def test_unknown_name_is_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    done = said_by(*words)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_unwritable_state_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "file"))
    done = said_by("env", "build")
    assert done.returncode == 1
    assert done.stderr.startswith("set-up: ")
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr
