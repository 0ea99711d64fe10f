"""A job that left no result: the reason decides whether a retry can help, and the log is quoted."""

import signal
from pathlib import Path

import pytest

from operators import missing_result
from operators.memory_watch import MemoryWatch
from operators.missing_result import SHOWN_LINES, why_no_result
from tasks.contract import EXIT_NO_RESULT, Failure


def why(folder: Path, status: int | None, log: str = "begun\n") -> Failure:
    (folder / "log.txt").write_text(log)
    return why_no_result(status, folder, MemoryWatch(2**30))


@pytest.mark.parametrize(
    ("status", "kind", "cause", "says"),
    [
        (-signal.SIGTERM, "transient", "killed", "ended by SIGTERM from outside; its last lines:\nbegun"),
        (-signal.SIGKILL, "transient", "killed", "ended by SIGKILL from outside; its last lines:\nbegun"),
        (-signal.SIGSEGV, "terminal", "bug", "begun: the task crashed with SIGSEGV;"),
        (1, "terminal", "bug", "begun: the task ended with exit status 1; its last lines:\nbegun"),
        (None, "transient", "killed", "for an unknown reason; its last lines:\nbegun"),
        (EXIT_NO_RESULT, "terminal", "disk-full", "the task's result or log"),
    ],
    ids=["SIGTERM", "SIGKILL", "crash", "exit", "unknown", "no room"],
)
def test_the_status_decides(tmp_path: Path, status: int | None, kind: str, cause: str, says: str) -> None:
    failure = why(tmp_path, status)
    assert (failure.kind, failure.cause) == (kind, cause)
    assert says in failure.message


def test_a_full_disk_comes_before_every_other_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_result, "free_disk_bytes", lambda folder: 0)
    assert why(tmp_path, -signal.SIGKILL).cause == "disk-full"


def test_a_kill_while_the_kernel_killed_for_memory_was_the_kernel_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryWatch, "kernel_has_killed", lambda self: True)
    assert "killed by the kernel because memory ran out" in why(tmp_path, -signal.SIGKILL).message
    assert "killed by the kernel" not in why(tmp_path, -signal.SIGTERM).message


@pytest.mark.parametrize("status", [-signal.SIGABRT, 1])
def test_a_job_that_got_no_memory_may_be_tried_again(tmp_path: Path, status: int) -> None:
    failure = why(tmp_path, status, "begun\nterminate called\n  what():  std::bad_alloc\n")
    assert (failure.kind, failure.cause) == ("transient", "out-of-memory")
    assert failure.message.startswith("what():  std::bad_alloc: the task got no memory (it reached ")
    assert "out of the recipe" not in failure.message


def test_the_end_of_the_log_is_shown(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(40)]
    assert why(tmp_path, 1, "\n".join(lines)).message.splitlines()[-SHOWN_LINES:] == lines[-SHOWN_LINES:]
    assert why(tmp_path, 1, "").message.endswith("the log is empty")
    assert len(why(tmp_path, 1, "x" * 10**6 + "the end").message) < 50_000, "a log may be one long line"
