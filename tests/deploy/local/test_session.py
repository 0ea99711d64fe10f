"""The processes of a session are found by what the kernel says of them, also after its leader has ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.session import descendants, memory_bytes, orphans, remember_session, session_processes

LEADER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"],
                         stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """Start a session of a leader and its child; yield both, and the record of the session."""
    record = tmp_path / "session.json"
    leader = subprocess.Popen([sys.executable, "-c", LEADER], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert leader.stdout
    child = int(leader.stdout.readline())
    remember_session(record, leader.pid)
    try:
        yield leader, child, record
    finally:
        leader.kill()
        leader.wait()
        for pid in session_processes(record):
            os.kill(pid, 9)


def test_a_session_is_its_leader_s_descendants_while_all_live(
    session: tuple[subprocess.Popen[str], int, Path],
) -> None:
    leader, child, record = session
    assert session_processes(record) == [child]
    assert descendants(leader.pid) == [leader.pid, child]
    assert orphans(record) == []
    assert memory_bytes(leader.pid) > memory_bytes(child) > 2**20


def test_an_orphan_is_found_after_the_leader_has_ended(session: tuple[subprocess.Popen[str], int, Path]) -> None:
    leader, child, record = session
    leader.kill()
    leader.wait()
    assert session_processes(record) == [child] == orphans(record)
    assert memory_bytes(leader.pid) == 0


@pytest.mark.parametrize(("field", "value"), [("boot", "another boot"), ("start", "1")])
def test_a_number_that_is_used_again_names_another_session(
    field: str, value: str, session: tuple[subprocess.Popen[str], int, Path], tmp_path: Path
) -> None:
    """Otherwise processes of strangers would be killed."""
    recorded = json.loads(session[2].read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**recorded, field: value}))
    assert session_processes(other) == []


def test_without_a_record_there_is_no_session(tmp_path: Path) -> None:
    assert session_processes(tmp_path / "absent.json") == [] == orphans(tmp_path / "absent.json")
