"""What a task cost is what the kernel counted, its children included."""

import subprocess
import sys
import time
from pathlib import Path

from tasks.manifest import Cost
from tasks.settings import REPOSITORY

PROGRAM = """
import sys
from pathlib import Path
from tasks.costs import process_cost
from tests.fixtures.context import make_context
from tests.tasks.probe import ProbeParameters, probe
probe(ProbeParameters(do=sys.argv[2]), make_context(Path(sys.argv[1])))
print(process_cost().to_json())
"""


def cost(folder: Path, do: str) -> tuple[Cost, float]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, do], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return Cost.from_json(done.stdout), time.monotonic() - began


def test_work_shows_in_every_account(tmp_path: Path) -> None:
    idle, _ = cost(tmp_path / "idle", "finish")
    busy, wall = cost(tmp_path / "busy", "work")
    assert busy.cpu_seconds > idle.cpu_seconds + 0.3
    assert busy.peak_memory_bytes > idle.peak_memory_bytes + 50 * 2**20
    assert busy.bytes_written > idle.bytes_written + 60 * 2**20
    assert 0.3 < busy.wall_seconds < wall + 0.05


def test_waiting_is_wall_time_and_no_processor_time(tmp_path: Path) -> None:
    idle, _ = cost(tmp_path / "idle", "finish")
    slow, wall = cost(tmp_path / "slow", "slow")
    assert 0.5 < slow.wall_seconds < wall + 0.05
    assert slow.cpu_seconds < idle.cpu_seconds + 0.3
