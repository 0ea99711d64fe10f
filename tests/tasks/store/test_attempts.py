"""Who is dead, and of whom that cannot be told."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.host.scratch import scratch_folder
from tasks.settings import REPOSITORY
from tasks.store.attempts import NAME, OLD, TIME, is_abandoned, new_attempt, scratch_root

HOLDER = """
import sys
from tasks.host.scratch import scratch_folder
from tasks.store.attempts import new_attempt, scratch_root
with scratch_folder(scratch_root()) as folder:
    print(new_attempt(folder), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def holder() -> tuple["subprocess.Popen[str]", str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_an_attempt_is_its_process_s_own_until_that_is_dead() -> None:
    killed, one = holder()
    living, two = holder()
    assert one != two and not is_abandoned(one) and not is_abandoned(two)
    killed.kill()
    killed.wait()
    assert is_abandoned(one) and not is_abandoned(two)
    living.communicate("")
    assert is_abandoned(two)


def test_looking_does_not_take_the_folder_from_its_process() -> None:
    with scratch_folder(scratch_root()) as folder:
        attempt = new_attempt(folder)
        assert not is_abandoned(attempt) and not is_abandoned(attempt)
        with scratch_folder(scratch_root()):
            assert folder.exists()


@pytest.mark.parametrize(("age", "dead"), [(OLD - timedelta(hours=1), False), (OLD + timedelta(hours=1), True)])
def test_of_another_host_only_age_decides(age: timedelta, dead: bool) -> None:
    began = (datetime.now(UTC) - age).strftime(TIME)
    assert is_abandoned(f"{began}-{'0' * 12}-{'0' * 16}") is dead


def test_the_same_state_folder_on_another_host_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with scratch_folder(scratch_root()) as folder:
        attempt = new_attempt(folder)
    assert is_abandoned(attempt)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert not is_abandoned(attempt), "its process is not to be seen from here"


def test_the_id_of_the_state_folder_leaves_no_file_beside_it(state: Path) -> None:
    with scratch_folder(scratch_root()) as folder:
        first, second = new_attempt(folder), new_attempt(folder)
    assert first.split("-")[1] == second.split("-")[1]
    assert {path.name for path in state.iterdir()} == {"id", "scratch"}


@pytest.mark.parametrize("name", ["", "one", "4f2a9c", f"20261123t034512-{'0' * 12}"])
def test_a_name_of_somebody_else_s_is_never_dead(name: str) -> None:
    assert NAME.fullmatch(name) is None and not is_abandoned(name)
