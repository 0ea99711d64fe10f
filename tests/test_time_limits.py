"""Every test has a time limit, and a session in which one hangs names it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.settings import REPOSITORY
from tests.conftest import TIME_LIMITS, time_limit

HANGS = """
import time
import pytest

def test_that_hangs():
    time.sleep(60)

@pytest.mark.timeout(60)
def test_with_more_time():
    time.sleep(1.5)
"""
HANGS_IN_NATIVE_CODE = """
import signal
import time

def test_deaf():
    # As in native code: the signal comes, and Python's handler does not run.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(60)
"""


def session(folder: Path, content: str, *options: str) -> str:
    """Return what a session with the project's configuration prints of one test file."""
    (folder / "test_file.py").write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(REPOSITORY)]
    command += ["-c", str(REPOSITORY / "pyproject.toml"), *options, str(folder / "test_file.py")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=50)
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_a_test_that_hangs_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    told = session(tmp_path, HANGS, "-o", "timeout=1")
    assert "test_that_hangs - Failed: Timeout" in told
    assert "1 failed, 1 passed" in told


def test_a_test_that_hangs_in_native_code_is_named(tmp_path: Path) -> None:
    told = session(tmp_path, HANGS_IN_NATIVE_CODE, "-o", "timeout=1", "-o", "faulthandler_timeout=2")
    assert "in test_deaf" in told


def test_every_test_of_this_session_has_a_limit(pytestconfig: pytest.Config) -> None:
    assert float(pytestconfig.getini("timeout")) > 0
    assert float(pytestconfig.getini("faulthandler_timeout")) > max(TIME_LIMITS.values())


def test_the_slowest_kind_of_a_test_decides() -> None:
    assert time_limit({"stack", "servers"}) == TIME_LIMITS["stack"]
    assert time_limit({"servers", "parametrize"}) == TIME_LIMITS["servers"]
    assert time_limit({"parametrize"}) is None
    assert time_limit({"stack", "timeout"}) is None
