"""The lock keeps a second process out, and a dead holder does not keep it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.setup.exclusive import exclusive
from deploy.setup.places import PROJECT

HOLD = """
import sys, time
from pathlib import Path
from deploy.setup.exclusive import exclusive
with exclusive(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(lock: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds the lock, and return when it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock, str(seconds)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_second_process_waits_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holder(tmp_path / "lock", 0.5) as process:
        started = time.monotonic()
        with exclusive(tmp_path / "lock", "it"):
            assert time.monotonic() - started > 0.2
            assert process.wait(timeout=5) == 0
    assert "it: waiting for another process" in capsys.readouterr().out


def test_killed_holder_lets_go(tmp_path: Path) -> None:
    with holder(tmp_path / "lock", 60) as process:
        process.kill()
        process.wait()
        with exclusive(tmp_path / "lock", "it"):
            pass
