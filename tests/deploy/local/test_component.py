"""What a killed component left is ended before the component starts again; the rest of the session stays."""

import os
import subprocess
import sys
from pathlib import Path

from deploy.local.session import remember_session
from tasks.host.proc import start_ticks
from tasks.settings import REPOSITORY

SESSION = """
import subprocess, sys
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
# A component that is gone: its child stays in the session.
gone = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid)"
orphan = subprocess.run([sys.executable, "-c", gone, *sleep], stdout=subprocess.PIPE, text=True).stdout.strip()
living = subprocess.Popen(sleep)
print(orphan, living.pid, flush=True)
input()
command = [sys.executable, "-c", "print('started', flush=True)"]
subprocess.run([sys.executable, "-m", "deploy.local.component", sys.argv[1], *command], check=True)
input()
"""


def test_an_orphan_is_ended_and_the_process_of_a_living_component_is_not(tmp_path: Path) -> None:
    record = tmp_path / "session.json"
    leader = subprocess.Popen(
        [sys.executable, "-c", SESSION, record],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert leader.stdin and leader.stdout
    orphan, living = map(int, leader.stdout.readline().split())
    remember_session(record, leader.pid)
    try:
        assert start_ticks(orphan) and start_ticks(living)
        leader.stdin.write("\n")
        leader.stdin.flush()
        assert leader.stdout.readline() == "started\n"
        assert start_ticks(orphan) is None
        assert start_ticks(living)
    finally:
        os.killpg(leader.pid, 9)
        leader.wait()
