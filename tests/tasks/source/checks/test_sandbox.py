"""How a script that was asked apart ended: it answered, failed, was beyond its limits, or died for want of memory."""

from itertools import count
from pathlib import Path

import pytest

from tasks.errors import OutOfMemory
from tasks.source.checks import sandbox
from tasks.source.checks.sandbox import Exceeded, Failed, ask


def script(folder: Path, body: str) -> Path:
    path = folder / "look.py"
    path.write_text(f"import json, os, signal, sys\nasked = json.load(sys.stdin)\n{body}\n")
    return path


def test_it_answers_and_sees_none_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "planted")
    told = ask(script(tmp_path, 'print(json.dumps({"asked": asked, "names": sorted(os.environ)}))'), {"a": 1})
    assert told["asked"] == {"a": 1} and "PATH" in told["names"] and "HF_TOKEN" not in told["names"]


def test_its_last_words_are_reported(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no such thing"):
        ask(script(tmp_path, 'sys.exit("first\\nno such thing")'), {})


def test_a_limit_is_not_missing_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exceeded):
        ask(script(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"), {})
    monkeypatch.setattr(sandbox, "kernel_kills", count().__next__)
    with pytest.raises(OutOfMemory, match="look was killed by the kernel because memory ran out"):
        ask(script(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"), {})
    with pytest.raises(Exceeded):
        ask(script(tmp_path, "os.kill(os.getpid(), signal.SIGXCPU)"), {})
