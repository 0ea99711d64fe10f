"""What /proc says of this process and its machine, and what is said where a file of it is missing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.host import proc


def test_a_process_is_known_by_its_start() -> None:
    own = proc.start_ticks("self")
    assert own is not None and own == proc.start_ticks(os.getpid())
    assert os.getpid() in proc.process_ids()


def test_a_process_that_has_ended_has_no_start_and_no_memory() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    while proc.start_ticks(ended.pid) is not None:
        # The kernel frees a process's memory a moment before the process becomes a zombie.
        time.sleep(0.01)
    assert "VmHWM" not in proc.memory_fields(ended.pid), "a zombie holds nothing"
    ended.wait()
    assert proc.start_ticks(ended.pid) is None and proc.memory_fields(ended.pid) == {}


def test_a_child_has_its_parent_and_session() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as child:
        found = proc.living(child.pid)
        assert found is not None and (found.parent, found.session) == (os.getpid(), child.pid)
        assert found.start == proc.start_ticks(child.pid)
        child.communicate(b"")
    assert proc.living(child.pid) is None and proc.proportional_bytes(child.pid) == 0


def test_shared_pages_count_in_part() -> None:
    assert 2**20 < proc.proportional_bytes("self") <= proc.memory_fields("self")["VmHWM"]


def test_the_time_that_a_process_used_and_waited_grows() -> None:
    used, waited = proc.used_seconds("self"), proc.waited_seconds("self")
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert used + 0.05 < proc.used_seconds("self")
    after = proc.waited_seconds("self") or {}
    main = os.getpid()
    assert waited is None or waited[main] <= after[main]


def test_children_of_children_are_descendants() -> None:
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    with subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        found = list(proc.descendants("self"))
        assert child.pid in found and len(set(found) & set(proc.descendants(child.pid))) == 1
        child.communicate(b"\n")
    assert child.pid not in proc.descendants("self")


STAT = """cpu  999 0 0 0 0 0 0 0 0 0
cpu0 100 20 30 5000 70 4 6 8 0 0
cpu1 200 0 0 5000 0 0 0 1 50 0
cpu2 999 0 0 0 0 0 0 0 0 0
intr 1 2 3
"""


def test_the_time_of_cores_is_that_of_the_cores_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "ROOT", tmp_path)
    (tmp_path / "stat").write_text(STAT)
    assert proc.core_seconds({0}) == (160 * proc.TICK_SECONDS, 8 * proc.TICK_SECONDS)
    assert proc.core_seconds({0, 1}) == (360 * proc.TICK_SECONDS, 9 * proc.TICK_SECONDS)
    (tmp_path / "stat").write_text("cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n")
    assert proc.core_seconds({0}) is None, "a sandbox may show zeros"


def test_waits_are_those_of_all_threads_where_the_kernel_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proc, "ROOT", tmp_path)
    for thread, counts in (("7", "4000 2000000000 9\n"), ("8", "1 500000000 1\n")):
        (tmp_path / "7/task" / thread).mkdir(parents=True)
        (tmp_path / "7/task" / thread / "schedstat").write_text(counts)
    assert proc.waited_seconds(7) == {7: 2.0, 8: 0.5}
    for thread in ("7", "8"):
        (tmp_path / "7/task" / thread / "schedstat").write_text("0 0 0\n")
    assert proc.waited_seconds(7) is None


def test_a_program_may_be_called_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "ROOT", tmp_path)
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text(f"7 (a) Z 1\n) S {' '.join(map(str, range(1, 40)))}\n")
    assert proc.start_ticks(7) == 19


def test_amounts_are_in_bytes() -> None:
    held = bytearray(50_000_000)
    found = proc.memory_fields("self")
    assert len(held) < found["VmRSS"] <= found["VmHWM"] and found["VmHWM"] % 1024 == 0
    assert proc.own_io()["rchar"] > 0


def test_a_kernel_that_shows_nothing_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "ROOT", tmp_path)
    assert (proc.processor_model(), proc.nvidia_gpus()) == (None, 0)
    assert (proc.memory_fields("self"), proc.own_io(), proc.start_ticks("self")) == ({}, {}, None)
    assert proc.proportional_bytes("self") == 0
    assert (proc.used_seconds("self"), proc.waited_seconds("self"), proc.core_seconds({0})) == (0, None, None)
    assert list(proc.descendants("self")) == []
    proc.raise_oom_score(os.getpid(), 500)


def test_the_processor_s_name_is_that_of_the_first_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "ROOT", tmp_path)
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A: fast one\n\nprocessor\t: 1\nmodel name\t: B\n")
    assert proc.processor_model() == "A: fast one"


def test_the_first_gpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "ROOT", tmp_path)
    assert proc.nvidia_model() == "a GPU without a name"
    for place, name in (("0000:81:00.0", "Second"), ("0000:01:00.0", "NVIDIA L4")):
        folder = tmp_path / "driver/nvidia/gpus" / place
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"IRQ:   \t 5\nModel: \t\t {name}\nGPU UUID: \t GPU-1\n")
    assert (proc.nvidia_gpus(), proc.nvidia_model()) == (2, "NVIDIA L4")


def test_an_oom_score_is_only_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "ROOT", tmp_path)
    score = tmp_path / "7/oom_score_adj"
    score.parent.mkdir()
    for before, after in (("0\n", "500"), ("900\n", "900")):
        score.write_text(before)
        proc.raise_oom_score(7, 500)
        assert score.read_text() == after
