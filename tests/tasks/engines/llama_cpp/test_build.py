"""llama.cpp is found where the set-up put it."""

import json
from pathlib import Path

import pytest

from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import NotFound


def test_it_is_found_by_what_its_build_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_TOOLS", str(tmp_path))
    with pytest.raises(NotFound, match=r"not built; run: python3 -m deploy\.setup llama\.cpp"):
        llama_cpp()
    root = tmp_path / "llama.cpp"
    root.mkdir(parents=True)
    build = {"version": "1", "commit": "2", "flags": ["-O3"], "digest": "3", "parts": ["lib"]}
    (root / "build.json").write_text(json.dumps(build))
    found = llama_cpp()
    assert (found.version, found.digest) == ("1", "3")
    assert (found.bin, found.lib, found.tree) == (root / "bin", root / "lib", root / "tree")
