"""Runtimes and native tools are found where set-up put them, or the command that makes them is told."""

import hashlib
import json
from pathlib import Path

import pytest

from deploy.setup import places
from tasks.errors import Corrupt, NotFound
from tasks.runtimes import lock_digest, native_build, native_digest, runtime, runtime_variables, tools
from tasks.settings import REPOSITORY


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    monkeypatch.delenv("HALLMARK_ENVS", raising=False)
    monkeypatch.delenv("HALLMARK_TOOLS", raising=False)
    return tmp_path


def test_a_runtime_is_its_interpreter_and_its_locks_digest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (home / "envs", home / "elsewhere"):
        python = folder / "torch" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
    lock = (REPOSITORY / "deploy" / "runtimes" / "torch.txt").read_bytes()
    found = runtime("torch")
    assert found.python == home / "envs/torch/bin/python"
    assert found.lock_digest == hashlib.sha256(lock).hexdigest() == lock_digest("torch")
    monkeypatch.setenv("HALLMARK_ENVS", str(home / "elsewhere"))
    assert runtime("torch").python == home / "elsewhere/torch/bin/python"
    monkeypatch.chdir(home)
    monkeypatch.setenv("HALLMARK_ENVS", "elsewhere")
    assert runtime("torch").python == home / "elsewhere/torch/bin/python", "a job starts in another folder"


def test_a_runtime_that_is_not_installed_is_reported_with_the_command() -> None:
    with pytest.raises(NotFound, match="runtime 'torch' is not installed; run: python3 -m deploy.setup env torch"):
        runtime("torch")
    with pytest.raises(NotFound, match=r"no runtime 'troch': deploy/runtimes/troch\.txt does not exist"):
        lock_digest("troch")


def built(root: Path) -> Path:
    root.mkdir(parents=True)
    build = {"version": "1", "commit": "2", "flags": ["-O3"], "digest": "3", "parts": ["lib"]}
    (root / "build.json").write_text(json.dumps(build))
    return root


def test_a_native_tool_is_found_by_what_its_build_says(home: Path) -> None:
    with pytest.raises(NotFound, match=r"llama\.cpp is not built; run: python3 -m deploy\.setup llama\.cpp"):
        native_digest("llama.cpp")
    root = built(home / "tools" / "llama.cpp")
    folder, build = native_build("llama.cpp")
    assert (folder, build.version, build.commit, build.parts) == (root, "1", "2", ("lib",))
    assert native_digest("llama.cpp") == "3"
    with pytest.raises(NotFound, match=r"no native tool 'llama' \(known: llama\.cpp\)"):
        native_digest("llama")


def test_native_tools_lie_beside_the_environments_or_where_a_variable_says(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tools() == places.tools() == home / "tools"
    monkeypatch.setenv("HALLMARK_ENVS", str(home / "other" / "envs"))
    assert tools() == places.tools() == home / "other" / "tools"
    monkeypatch.setenv("HALLMARK_TOOLS", str(home / "third"))
    assert tools() == places.tools() == home / "third"
    assert native_build_folder(home) == home / "third" / "llama.cpp"


def native_build_folder(home: Path) -> Path:
    built(home / "third" / "llama.cpp")
    return native_build("llama.cpp")[0]


def test_a_build_that_cannot_be_read_is_reported_with_the_command(home: Path) -> None:
    (built(home / "tools" / "llama.cpp") / "build.json").write_text("{}")
    with pytest.raises(Corrupt, match=r"build\.json cannot be read.*run: python3 -m deploy\.setup llama\.cpp"):
        native_digest("llama.cpp")


def test_a_process_gets_the_variables_that_its_runtime_declares(home: Path) -> None:
    assert runtime_variables("llama-cpp") == {"LLAMA_CPP_LIB_PATH": f"{home}/tools/llama.cpp/lib"}
    assert runtime_variables("control") == {}
