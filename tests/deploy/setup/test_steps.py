"""Commands keep what they say, and a failure is one sentence after their last lines."""

import sys
from pathlib import Path

import pytest

from deploy.setup.errors import SetupError
from deploy.setup.steps import SHOWN_LINES, run, step


def test_failure_shows_the_last_lines_and_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    script = "import sys\nfor n in range(99): print('line', n)\nsys.exit(3)"
    with pytest.raises(SetupError, match=rf"It failed: do this\. \(.*{log}.*\)"):
        run([sys.executable, "-c", script], log=log, otherwise="It failed: do this.")
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == SHOWN_LINES
    assert shown[-1].strip() == "line 98"
    assert "line 0\n" in log.read_text()


def test_lines_are_given_as_they_come(tmp_path: Path) -> None:
    heard: list[str] = []
    run([sys.executable, "-c", "print('a'); print('b')"], log=tmp_path / "log", otherwise="", on_line=heard.append)
    assert heard == ["a\n", "b\n"]


def test_step_reports_its_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with step("torch", "installing"):
        pass
    assert capsys.readouterr().out == "torch: installing ...\ntorch: installing: 0.0 s\n"


def test_failed_step_claims_no_end(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupError), step("torch", "installing"):
        raise SetupError("no")
    assert capsys.readouterr().out == "torch: installing ...\n"
