"""A job that left no result: the reason decides whether a retry can help, and the log is quoted."""

import signal
from pathlib import Path
from typing import Any

import pytest

from operators import missing_result
from operators.memory_watch import MemoryWatch
from operators.missing_result import SHOWN_LINES, why_no_result
from tasks.contract import EXIT_NO_RESULT, Failure, Spec


def why(folder: Path, status: int | None, log: str = "begun\n", parameters: dict[str, Any] | None = None) -> Failure:
    (folder / "log.txt").write_text(log)
    (folder / "spec.json").write_text(Spec(task="scan", parameters=parameters or {}).to_json())
    return why_no_result(status, folder, MemoryWatch(2**30))


@pytest.mark.parametrize(
    ("status", "kind", "cause", "says"),
    [
        (
            -signal.SIGTERM,
            "transient",
            "killed",
            "The task scan was ended by SIGTERM from outside; its last lines:\nbegun",
        ),
        (-signal.SIGKILL, "transient", "killed", "ended by SIGKILL from outside; its last lines:\nbegun"),
        (-signal.SIGSEGV, "terminal", "bug", "begun: the task scan crashed with SIGSEGV; release another model."),
        (1, "terminal", "bug", "begun: the task scan ended with exit status 1; report it to the authors of Hallmark"),
        (None, "transient", "killed", "for an unknown reason; its last lines:\nbegun"),
        (EXIT_NO_RESULT, "terminal", "disk-full", "the task's result or log"),
    ],
    ids=["SIGTERM", "SIGKILL", "crash", "exit", "unknown", "no room"],
)
def test_the_status_decides(tmp_path: Path, status: int | None, kind: str, cause: str, says: str) -> None:
    failure = why(tmp_path, status)
    assert (failure.kind, failure.cause) == (kind, cause)
    assert says in failure.message


@pytest.mark.parametrize("target", [{"name": "gguf-q8_0"}, "gguf-q8_0"], ids=["whole", "named"])
def test_a_crash_names_the_target_that_the_task_belongs_to(tmp_path: Path, target: object) -> None:
    message = why(tmp_path, -signal.SIGSEGV, parameters={"target": target}).message
    said = (
        "the task scan of gguf-q8_0 crashed with SIGSEGV; leave gguf-q8_0 and what is made from it out of the recipe."
    )
    assert said in message


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (signal.SIGILL, "run it on another host"),
        (signal.SIGBUS, "check the disk"),
        (signal.SIGXCPU, "raise the limit of the user (ulimit -t)"),
        (signal.SIGXFSZ, "raise the limit of the user (ulimit -f)"),
    ],
)
def test_a_crash_that_may_be_the_hosts_fault_is_not_called_the_models(tmp_path: Path, number: int, fix: str) -> None:
    message = why(tmp_path, -number).message
    assert f"{fix}. Its last lines" in message and "another model" not in message and "authors" not in message


def test_an_environment_that_is_not_whole_is_no_bug_of_ours(tmp_path: Path) -> None:
    message = why(tmp_path, 1, log="  File \"x.py\", line 1\nModuleNotFoundError: No module named 'y'\n").message
    assert "build the environments of this host again (python3 -m deploy.setup env, with their names)" in message


def test_a_job_without_a_readable_spec_is_reported_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("begun\n")
    (tmp_path / "spec.json").write_text("{")
    said = why_no_result(1, tmp_path, MemoryWatch(2**30)).message
    assert said.startswith("begun: the task ended with exit status 1")


def test_the_log_of_a_bug_is_named(tmp_path: Path) -> None:
    said = f"report it to the authors of Hallmark with the log {tmp_path}/log.txt. Its last lines:\nbegun"
    assert why(tmp_path, 1).message.endswith(said)


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
    assert failure.message.startswith("what():  std::bad_alloc: the task scan got no memory (it reached ")
    assert "out of the recipe" not in failure.message


def test_the_end_of_the_log_is_shown(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(40)]
    assert why(tmp_path, 1, "\n".join(lines)).message.splitlines()[-SHOWN_LINES:] == lines[-SHOWN_LINES:]
    assert why(tmp_path, 1, "").message.endswith("the log is empty")
    assert len(why(tmp_path, 1, "x" * 10**6 + "the end").message) < 50_000, "a log may be one long line"
