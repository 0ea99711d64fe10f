"""Who lives in a process group and what it holds, its leader dead or not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.host.proc import start_ticks
from tasks.host.process_group import end, members, memory_held

LEADER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""

CHILD = """
import mmap, time
file = open("mapped", "w+b"); file.truncate(100_000_000)
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(mapped[place] for place in range(0, len(mapped), 4096))
held = b"x" * 50_000_000
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A leader and the number of its child, which holds 50 MB and maps 100 more."""
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER, CHILD], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert leader.stdout
    child = int(leader.stdout.readline())
    yield leader, child
    leader.kill()
    leader.communicate()
    end(leader.pid)


def test_members_are_those_that_live(group: tuple["subprocess.Popen[str]", int]) -> None:
    leader, child = group
    assert set(members(leader.pid)) == {leader.pid, child}
    os.kill(leader.pid, signal.SIGKILL)
    while start_ticks(leader.pid) is not None:
        time.sleep(0.01)
    assert set(members(leader.pid)) == {child}, "a zombie does not live"


def test_memory_is_that_of_all_and_not_of_mapped_files(group: tuple["subprocess.Popen[str]", int]) -> None:
    leader, _ = group
    assert 50_000_000 < memory_held(leader.pid) < 100_000_000


def test_nothing_lives_after_the_end(group: tuple["subprocess.Popen[str]", int]) -> None:
    leader, child = group
    end(leader.pid)
    assert list(members(leader.pid)) == [] and start_ticks(child) is None
    end(leader.pid)


def test_a_group_of_nobody_holds_nothing() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert list(members(gone.pid)) == [] and memory_held(gone.pid) == 0
    end(gone.pid)
