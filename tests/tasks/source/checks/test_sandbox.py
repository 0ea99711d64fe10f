"""How a script that was asked apart ended: it answered, failed, was beyond its limits, or died for want of memory."""

from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

from tasks.errors import OutOfMemory, ToolKilled
from tasks.source.checks import load_tokenizer, render_template, sandbox
from tasks.source.checks.sandbox import Exceeded, Failed, ask


def script(folder: Path, body: str) -> Path:
    path = folder / "look.py"
    path.write_text(f"import json, os, signal, sys\nasked = json.load(sys.stdin)\n{body}\n")
    return path


def test_it_answers_and_sees_none_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "planted")
    told = ask(script(tmp_path, 'print(json.dumps({"asked": asked, "names": sorted(os.environ)}))'), {"a": 1})
    assert told["asked"] == {"a": 1} and "PATH" in told["names"] and "HF_TOKEN" not in told["names"]


def test_its_last_line_is_the_answer_and_without_one_it_failed(tmp_path: Path) -> None:
    assert ask(script(tmp_path, 'print("loading"); print("{\\"done\\": 1}")'), {}) == {"done": 1}
    with pytest.raises(Failed, match="^no error message$"):
        ask(script(tmp_path, "print()"), {})


def test_its_last_words_are_reported(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no such thing"):
        ask(script(tmp_path, 'sys.exit("first\\nno such thing")'), {})


def test_a_limit_is_not_missing_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exceeded):
        ask(script(tmp_path, "os.kill(os.getpid(), signal.SIGXCPU)"), {})
    monkeypatch.setattr(sandbox, "kernel_kills", count().__next__)
    with pytest.raises(OutOfMemory, match="look was killed by the kernel because memory ran out"):
        ask(script(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"), {})


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_signal_from_outside_is_no_limit(tmp_path: Path, name: str) -> None:
    with pytest.raises(ToolKilled, match=f"^look was ended by {name} from outside the task; clear the task"):
        ask(script(tmp_path, f"os.kill(os.getpid(), signal.{name})"), {})


def test_a_busy_host_is_no_limit(tmp_path: Path) -> None:
    with pytest.raises(ToolKilled, match="^look did not end within 1 s, .*; clear the task when the host is less busy"):
        ask(script(tmp_path, "import time; time.sleep(99)"), {}, wall_seconds=1)


def test_processor_time_ends_by_a_signal_that_nobody_else_sends(tmp_path: Path) -> None:
    source = Path(render_template.__file__).read_text()
    (tmp_path / "short.py").write_text(source.replace("CPU_SECONDS = 5", "CPU_SECONDS = 1"))
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(Exceeded):
        ask(tmp_path / "short.py", {"source": endless, "variables": {}, "conversations": [[]]})


@pytest.mark.parametrize("number", ["SIGABRT", "SIGSEGV"])
def test_a_crash_is_no_limit_and_names_the_signal(tmp_path: Path, number: str) -> None:
    with pytest.raises(Failed, match=rf"^assertion failed; it crashed with {number}$"):
        ask(script(tmp_path, f'print("assertion failed", file=sys.stderr); os.kill(os.getpid(), signal.{number})'), {})


def test_a_crash_for_want_of_memory_is_a_limit(tmp_path: Path) -> None:
    with pytest.raises(Exceeded):
        ask(script(tmp_path, 'print("memory allocation of 9 bytes failed", file=sys.stderr); os.abort()'), {})


def test_what_was_printed_before_the_end_is_kept(tmp_path: Path) -> None:
    written = 'print(json.dumps({"stage": "one"}), flush=True)'
    for end, error in (
        ("os.abort()", Failed),
        ("os.kill(os.getpid(), signal.SIGXCPU)", Exceeded),
    ):
        with pytest.raises(error) as ended:
            ask(script(tmp_path, f"{written}; {end}"), {})
        assert ended.value.written == b'{"stage": "one"}\n'


def test_it_imports_our_modules_only_if_it_may(tmp_path: Path) -> None:
    body = 'import importlib.util; print(json.dumps({"found": importlib.util.find_spec("tasks") is not None}))'
    assert ask(script(tmp_path, body), {}) == {"found": False}
    assert ask(script(tmp_path, body), {}, with_product=True) == {"found": True}


def test_it_leaves_no_compiled_modules(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("")
    ask(script(tmp_path, f"sys.path.insert(0, {str(tmp_path)!r}); import beside; print(json.dumps({{}}))"), {})
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize(
    ("limited", "work", "limits"),
    [
        (render_template, "render", {"RLIMIT_CPU": 5, "RLIMIT_AS": 2**30, "RLIMIT_FSIZE": 0}),
        (load_tokenizer, "load_json", {"RLIMIT_CPU": 60, "RLIMIT_AS": 2**32, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}),
    ],
)
def test_scripts_limit_themselves_before_they_work(
    tmp_path: Path, limited: ModuleType, work: str, limits: dict[str, int]
) -> None:
    """The work is replaced by a look at the limits."""
    body = (
        f"import io, resource, runpy\nlimited = runpy.run_path({limited.__file__!r})\n"
        f"limited['main'].__globals__[{work!r}] = lambda *_: "
        f"{{name: resource.getrlimit(getattr(resource, name)) for name in {list(limits)}}}\n"
        "sys.stdin = io.StringIO(json.dumps(asked))\nlimited['main']()"
    )
    asked = {"path": "x.json", "texts": [], "vocabulary_size": 1, "source": "", "variables": {}, "conversations": []}
    limits_of = {name: [limit, limit + (name == "RLIMIT_CPU")] for name, limit in limits.items()}
    assert ask(script(tmp_path, body), asked) == limits_of
