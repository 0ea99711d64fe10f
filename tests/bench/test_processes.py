"""What processes used is counted, whether they run, have ended, or have been left behind by those that started them."""

import subprocess
import sys
from pathlib import Path

from bench.processes import Usage, usage_by_part

WORK = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"


def in_a_process_of_its_own(code: str) -> str:
    """A subreaper must not be the process of all tests."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_children_orphans_and_grandchildren_are_counted(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK)
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, {str(tmp_path / 'work.py')!r}])"
    told = in_a_process_of_its_own(
        f"""
import os, subprocess, sys, time
from bench.processes import become_subreaper, descendants, usage_by_part
become_subreaper()
before = usage_by_part()["rest"].cpu
subprocess.run([sys.executable, {str(tmp_path / "work.py")!r}], check=True)
subprocess.run([sys.executable, "-c", {orphan!r}], check=True)
(left,) = descendants()
while open(f"/proc/{{left}}/stat").read().rpartition(")")[2].split()[0] != "Z":
    time.sleep(0.05)
print(usage_by_part()["rest"].cpu - before)
"""
    )
    assert float(told) >= 0.59


def test_bytes_of_what_has_ended_are_counted_and_our_own_are_not(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(3_000_000))
    told = in_a_process_of_its_own(
        f"""
import subprocess
from bench.processes import usage_by_part
before = usage_by_part()["rest"].rchar
open({str(tmp_path / "data")!r}, "rb").read()
subprocess.run(["cat", {str(tmp_path / "data")!r}], stdout=subprocess.DEVNULL, check=True)
print(usage_by_part()["rest"].rchar - before)
"""
    )
    assert 3_000_000 <= int(told) < 4_000_000


def test_a_server_and_what_it_starts_are_a_part_of_their_own(tmp_path: Path) -> None:
    told = in_a_process_of_its_own(
        """
import subprocess, sys, time
from bench.processes import descendants
code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=sys.stdin)"
server = subprocess.Popen([sys.executable, "-c", code, "deploy.local.s3_server"], stdin=subprocess.PIPE)
while len(found := descendants()) < 2:
    time.sleep(0.05)
print(sorted(found.values()))
server.communicate(b"done")
"""
    )
    assert told.strip() == "['s3', 's3']"


def test_usage_adds_and_subtracts() -> None:
    assert Usage(3.0, 5) - Usage(1.0, 2) == Usage(2.0, 3)
    assert Usage(3.0, 5) + Usage(1.0, 2) == Usage(4.0, 7)
    assert set(usage_by_part()) == {"s3", "hub", "mlflow", "airflow", "rest"}
