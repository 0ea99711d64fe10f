"""What the kernel says about the control group that a process is in; both versions, planted, and one for real."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.host import control_group
from tasks.host.control_group import core_limits, kernel_kills, memory_limits, throttled_seconds
from tasks.settings import REPOSITORY
from tests.fixtures.memory_groups import ENTER

Plant = Callable[[str, dict[str, str]], None]

DYING = """
import subprocess, sys
from tasks.host.control_group import kernel_kills
before = kernel_kills()
greedy = "held = []\\nwhile True: held.append(b'x' * 10_000_000)"
died = subprocess.run([sys.executable, "-c", greedy]).returncode
print(died, kernel_kills() - before)
"""


def test_the_kernel_counts_whom_it_kills(memory_group: Path) -> None:
    before = kernel_kills()
    command = ["sh", "-c", ENTER, str(memory_group), sys.executable, "-c", DYING]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert told.split() == ["-9", "1"]
    assert kernel_kills() == before, "those of another group are not this one's"


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Makes this process one of a group, and the files that the kernel would show."""
    monkeypatch.setattr(control_group, "ROOT", tmp_path)
    monkeypatch.setattr(control_group, "GROUPS", tmp_path / "groups")

    def plant(groups: str, files: dict[str, str]) -> None:
        (tmp_path / "groups").write_text(groups)
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    return plant


EVENTS = "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"


def test_the_groups_own_limit_and_those_above_count(plant: Plant) -> None:
    plant("0::/a/b\n", {"memory.max": "max\n", "a/memory.max": "5000\n", "a/b/memory.max": "7000\n"})
    assert sorted(memory_limits()) == [5000, 7000]
    plant("5:devices:/a\n4:memory:/c\n0::/\n", {"memory/c/memory.limit_in_bytes": "6000\n"})
    assert memory_limits() == [6000]


def test_the_quota_of_cores_is_that_of_the_group_and_of_those_above(plant: Plant) -> None:
    plant("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "800000 100000\n", "a/b/cpu.max": "75000 50000\n"})
    assert sorted(core_limits()) == [1.5, 8]
    files = {"cpu.cfs_quota_us": "-1\n", "a/cpu.cfs_quota_us": "400000\n"}
    periods = {"cpu.cfs_period_us": "100000\n", "a/cpu.cfs_period_us": "200000\n"}
    plant("3:cpu,cpuacct:/a\n", {f"cpu,cpuacct/{name}": text for name, text in (files | periods).items()})
    assert core_limits() == [2]


def test_a_container_finds_its_group_at_the_root(plant: Plant) -> None:
    plant("4:memory:/docker/1234\n", {"memory/memory.limit_in_bytes": "8000", "memory/memory.oom_control": CONTROL})
    assert memory_limits() == [8000] and kernel_kills() == 5


def test_kills_are_those_of_the_own_group(plant: Plant) -> None:
    plant("0::/a\n", {"a/memory.events": EVENTS, "memory.events": EVENTS.replace("2", "8")})
    assert kernel_kills() == 2


def test_without_a_group_it_is_the_machines_count(plant: Plant) -> None:
    plant("0::/\n", {})
    machine = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    assert kernel_kills() == int(machine["oom_kill"])


def test_throttling_is_that_of_the_group_and_of_those_above(plant: Plant) -> None:
    second = "usage_usec 9\nnr_throttled 2\nthrottled_usec {}\n"
    plant(
        "0::/a/b\n", {"a/cpu.stat": second.format(500_000), "a/b/cpu.stat": second.format(250_000), "cpu.stat": "u 1\n"}
    )
    assert throttled_seconds() == pytest.approx(0.75)
    plant("3:cpu,cpuacct:/c\n", {"cpu,cpuacct/c/cpu.stat": "nr_periods 4\nnr_throttled 1\nthrottled_time 2000000000\n"})
    assert throttled_seconds() == 2


def test_a_group_without_a_quota_counts_no_throttling(plant: Plant) -> None:
    plant("0::/a\n5:devices:/a\n", {"a/cpu.stat": "usage_usec 9\nuser_usec 9\n"})
    assert throttled_seconds() is None


def test_where_the_kernel_shows_neither_groups_nor_counts_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a sandbox with a kernel of its own, which has some of /proc only."""
    monkeypatch.setattr(control_group, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(control_group, "MACHINE", tmp_path / "vmstat")
    assert kernel_kills() == 0
    assert memory_limits() == [] and core_limits() == []
    assert throttled_seconds() is None
