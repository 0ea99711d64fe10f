"""Runtimes and native tools are found where set-up put them, or the command that makes them is told."""

import hashlib
import json
from pathlib import Path

import pytest

from tasks.errors import NotFound
from tasks.runtimes import llama_cpp, lock_digest, native_digest, runtime
from tasks.settings import REPOSITORY


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    monkeypatch.delenv("HALLMARK_ENVS", raising=False)
    monkeypatch.delenv("HALLMARK_LLAMA_CPP", raising=False)
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


def test_a_runtime_that_is_not_installed_is_told_with_the_command() -> None:
    with pytest.raises(NotFound, match="runtime 'torch' is not installed; run: python3 -m deploy.setup env torch"):
        runtime("torch")
    with pytest.raises(NotFound, match=r"no runtime 'troch': deploy/runtimes/troch\.txt does not exist"):
        lock_digest("troch")


def test_llama_cpp_is_found_by_what_its_build_says(home: Path) -> None:
    with pytest.raises(NotFound, match=r"not built; run: python3 -m deploy\.setup llama\.cpp"):
        llama_cpp()
    root = home / "tools" / "llama.cpp"
    root.mkdir(parents=True)
    build = {"version": "1", "commit": "2", "flags": ["-O3"], "digest": "3", "parts": ["lib"]}
    (root / "build.json").write_text(json.dumps(build))
    found = llama_cpp()
    assert (found.version, found.bin, found.lib, found.tree) == ("1", root / "bin", root / "lib", root / "tree")
    assert native_digest("llama.cpp") == "3"
    with pytest.raises(NotFound, match=r"no native tool 'llama' \(known: llama\.cpp\)"):
        native_digest("llama")
