"""A foreign tool learns no secret, and how it ended is told with its last words."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import OutOfMemory, ToolFailed, ToolKilled
from tasks.host import tools
from tasks.host.tools import PASSED_ON, dies_with_parent, last_words, run_tool

Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a Python program as a tool; returns its lines."""

    def run(program: str, env: dict[str, str] | None = None) -> list[str]:
        lines: list[str] = []
        script = tmp_path / "tool.py"
        script.write_text(program)
        run_tool([sys.executable, script], cwd=tmp_path, log=tmp_path / "log", env=env, on_line=lines.append)
        return lines

    return run


def test_a_tool_sees_no_credential(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "PLANTED", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("TMPDIR", "/large")
    (seen,) = run("import os; print(sorted(os.environ.items()))", env={"TOOL": "1"})
    variables = dict(eval(seen))
    assert "secret" not in seen
    assert set(variables) <= {*PASSED_ON, "HOME", "PYTHONUNBUFFERED", "TOOL", "LC_CTYPE"}
    assert (variables["HOME"], variables["TOOL"], variables["OMP_NUM_THREADS"]) == (str(tmp_path), "1", "3")
    assert variables["TMPDIR"] == "/large", "messages about a full disk name it as a remedy"


def test_all_output_is_logged_and_its_lines_are_told(run: Run, tmp_path: Path) -> None:
    program = "import sys; print('one', flush=True); print('two', file=sys.stderr); print(); print('half', end='')"
    assert run(program) == ["one", "two", "half"]
    assert (tmp_path / "log").read_text() == "one\ntwo\n\nhalf"
    run("print('again')")
    assert (tmp_path / "log").read_text().endswith("halfagain\n")


def test_bytes_that_are_no_text_do_not_stop_it(run: Run) -> None:
    assert run("import sys; sys.stdout.buffer.write(b'\\xff end\\n')") == ["\ufffd end"]


def test_a_tool_that_fails_tells_its_last_lines(run: Run) -> None:
    with pytest.raises(ToolFailed, match=r"^line 39: tool\.py failed with exit status 3\. Its last lines:") as failed:
        run("import sys\nfor n in range(40): print('line', n)\nsys.exit(3)")
    assert "line 39" in str(failed.value) and "line 28" in str(failed.value) and "line 27" not in str(failed.value)


def test_a_tool_that_fails_without_a_word_is_told_so(run: Run) -> None:
    with pytest.raises(ToolFailed, match=r"^no message: tool\.py failed with exit status 1\.$"):
        run("import sys; sys.exit(1)")


def test_a_tool_that_was_killed_may_be_tried_again(run: Run) -> None:
    with pytest.raises(
        ToolKilled, match=r"tool\.py was ended by SIGKILL from outside the task; its last lines:\nbegun"
    ):
        run("import os, signal; print('begun', flush=True); os.kill(os.getpid(), signal.SIGKILL)")


def test_a_signal_without_a_name_is_told_by_its_number(run: Run) -> None:
    with pytest.raises(ToolKilled, match=r"tool\.py was ended by signal 40 from outside the task"):
        run("import os; os.kill(os.getpid(), 40)")


def test_a_tool_that_the_kernel_killed_for_memory_is_told_apart(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr(tools, "kernel_kills", lambda: next(counts))
    with pytest.raises(
        OutOfMemory, match=r"^tool\.py was killed by the kernel because memory ran out; run it on a host"
    ):
        run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("terminate called\n  what():  std::bad_alloc", "os.abort()"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 PiB for an array", "sys.exit(1)"),
        ("load: failed to open\nggml_alloc: failed to allocate buffer of size 9\nmain: failed", "sys.exit(1)"),
        ("error loading model: unable to allocate CPU buffer", "sys.exit(1)"),
    ],
)
def test_a_tool_that_got_no_memory_may_be_tried_again(run: Run, said: str, end: str) -> None:
    words = r"^[^\n:]*\S.*lloc.*: tool\.py got no memory; run it on a host with more memory"
    with pytest.raises(OutOfMemory, match=words):
        run(f"import os, sys; print({said!r}, flush=True); {end}")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE"])
def test_a_tool_that_crashes_would_crash_again(run: Run, name: str) -> None:
    with pytest.raises(ToolFailed, match=rf"^begun: tool\.py crashed with {name}\. Its last lines:\nbegun"):
        run(f"import os, signal; print('begun', flush=True); os.kill(os.getpid(), signal.{name})")


@pytest.mark.parametrize(
    ("name", "fix"), [("SIGILL", "run it on another host"), ("SIGBUS", "check the disk"), ("SIGXFSZ", "ulimit -f")]
)
def test_a_crash_that_may_be_the_hosts_fault_has_its_own_remedy(tmp_path: Path, name: str, fix: str) -> None:
    script = tmp_path / "tool.py"
    # Python ignores SIGXFSZ.
    default = f"signal.signal(signal.{name}, signal.SIG_DFL)"
    script.write_text(f"import os, signal; {default}; os.kill(os.getpid(), signal.{name})")
    with pytest.raises(ToolFailed, match=rf"tool\.py crashed with {name}; .*{fix}") as failed:
        run_tool(
            [sys.executable, script], cwd=tmp_path, log=tmp_path / "log", remedy="leave gguf-q8_0 out of the recipe"
        )
    assert "recipe" not in str(failed.value)


def test_a_tool_does_not_wait_for_input(run: Run) -> None:
    assert run("print(repr(input()) if False else __import__('sys').stdin.read() == '')") == ["True"]


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="no-such-tool"):
        run_tool(["no-such-tool"], cwd=tmp_path, log=tmp_path / "log")


def test_a_tool_does_not_outlive_who_was_told_to_stop(run: Run, tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    before = signal.signal(signal.SIGUSR1, stop)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        began = time.monotonic()
        with pytest.raises(Stop):
            run("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)")
        assert time.monotonic() - began < 20
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_a_child_whose_parent_is_gone_before_it_asks_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills a child only for the end of a parent that it asked about."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        of_another_parent = dies_with_parent()
    child = ["touch", str(tmp_path / "begun")]
    assert subprocess.call(child, preexec_fn=of_another_parent) == 1
    assert not (tmp_path / "begun").exists()
    assert subprocess.call(child, preexec_fn=dies_with_parent()) == 0
    assert (tmp_path / "begun").exists()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no message"),
        (["loading", "done"], "done"),
        (
            ["Traceback (most recent call last):", '  File "x.py", line 1', "    raise error", "KeyError: 'n_ctx'"],
            "KeyError: 'n_ctx'",
        ),
        (['  File "x.py", line 1', "    failed()", "ValueError: no"], "ValueError: no"),
        (
            [
                '  File "x.py", line 1',
                "    Plan.model_validate(given)",
                "    ~~~~^^^^",
                "ValidationError: 1 validation error for Plan",
                "name",
                "  Field required [type=missing, input_value={}, input_type=dict]",
                "    For further information visit https://errors.pydantic.dev/2.14/v/missing",
            ],
            "ValidationError: 1 validation error for Plan",
        ),
        (
            ['  File "x.py", line 1', "RuntimeError: [enforce fail]", "DefaultCPUAllocator: Cannot allocate memory"],
            "DefaultCPUAllocator: Cannot allocate memory",
        ),
        (
            ["0.00.1 E load: error: no merges", "0.00.2 E load: failed", "0.00.3 E main: failed"],
            "load: error: no merges",
        ),
        (
            [
                '  File "x.py", line 1',
                "    f()",
                "  [Previous line repeated 990 more times]",
                "RecursionError: too deep",
            ],
            "RecursionError: too deep",
        ),
        (["INFO memory allocation strategy", "error: unsupported op"], "error: unsupported op"),
        (["error: stopped", "memory allocation of 9 bytes failed"], "memory allocation of 9 bytes failed"),
        (["a", "x.cpp:3: GGML_ASSERT(n > 0) failed", "(core dumped)"], "x.cpp:3: GGML_ASSERT(n > 0) failed"),
    ],
)
def test_the_words_that_say_why(lines: list[str], words: str) -> None:
    assert last_words(lines) == words


def test_the_message_names_the_input_and_ends_with_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "tool.py"
    script.write_text("import sys; sys.exit(3)")
    with pytest.raises(
        ToolFailed, match=r"^no message: tool\.py, at work on a\.gguf, failed with exit status 3; make it anew\.$"
    ):
        run_tool([sys.executable, script], cwd=tmp_path, log=tmp_path / "log", subject="a.gguf", remedy="make it anew")
