"""Only mutants that no test notices are left, and a module whose tests fail anyway is not judged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.settings import REPOSITORY

MODULE = "def doubled(number):\n    return number * 2\n"
MUTANTS = {
    "noticed.py": "def doubled(number):\n    return number * 3\n",
    "survived.py": "def doubled(number):\n    return number + number\n",
    "unreadable.py": "def doubled(number:\n",
}
TEST = "from number import doubled\n\n\ndef test_it():\n    assert doubled(2) == {expected}\n"


@pytest.fixture
def mutants(tmp_path: Path) -> Path:
    folder = tmp_path / "mutants"
    folder.mkdir()
    for name, text in MUTANTS.items():
        (folder / name).write_text(text)
    (tmp_path / "number.py").write_text(MODULE)
    return folder


def test_what_is_left_is_what_no_test_noticed(mutants: Path) -> None:
    done = _judge(mutants, expected=4)
    assert done.returncode == 0, done.stdout
    assert [path.name for path in mutants.iterdir()] == ["survived.py"]
    assert (mutants.parent / "number.py").read_text() == MODULE


def test_tests_that_fail_without_a_change_judge_nothing(mutants: Path) -> None:
    done = _judge(mutants, expected=5)
    assert done.returncode == 1
    assert "assert 4 == 5" in done.stdout
    assert {path.name for path in mutants.iterdir()} == set(MUTANTS)


def test_tests_that_are_all_left_out_notice_nothing(mutants: Path) -> None:
    done = _judge(mutants, 4, "-k", "another")
    assert done.returncode == 0, done.stdout
    assert {path.name for path in mutants.iterdir()} == set(MUTANTS)


def _judge(mutants: Path, expected: int, *options: str) -> subprocess.CompletedProcess[str]:
    copy = mutants.parent
    (copy / "test_number.py").write_text(TEST.format(expected=expected))
    path = os.pathsep.join(map(str, (copy, REPOSITORY)))
    command = [sys.executable, "-m", "tests.mutants.judge", "number.py", str(mutants), "-q", *options, "test_number.py"]
    environment = os.environ | {"PYTHONPATH": path, "TMPDIR": str(copy)}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
