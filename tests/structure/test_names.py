"""No format's and no engine's name stands in code outside its own folder, its runtime's file and its registry line."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.formats.registry import FORMATS, load_format
from tasks.settings import REPOSITORY
from tests.structure.imports import TOPS

OWN = ("tasks/formats", "tasks/engines", "deploy/setup/native")
"""Folders below which each format, engine and native tool has a folder of its own."""

SOURCE = {"safetensors", "transformers", "torch"}
"""What every source is made of and read with, before it has any format: words that are no format's alone."""

UPPER = ("operators", "tasks/gates", "tasks/plan", "tasks/proving", "tasks/release")
"""Rooms that handle any format and engine, and open no source."""

ELSEWHERE = {
    **{("tasks/formats/registry.py", name): "its registry line" for name in FORMATS if name not in SOURCE},
    ("deploy/setup/native/registry.py", "llama.cpp"): "its registry line",
    ("deploy/setup/native/registry.py", "llama_cpp"): "its registry line",
    ("tasks/source/no_weights.py", "gguf"): "files that a repository may have in place of usable weights",
    ("tasks/source/no_weights.py", "onnx"): "files that a repository may have in place of usable weights",
    ("tasks/checkpoint/companions.py", "gguf"): "endings that no licence has",
    ("tasks/checkpoint/companions.py", "onnx"): "endings that no licence has",
    ("deploy/real/__main__.py", "gguf"): "the real model comes in such a file",
    ("deploy/real/rebuild.py", "gguf"): "the real model comes in such a file",
    ("deploy/local/hub_repository.py", "gguf"): "suffixes of the files that the Hub keeps in LFS",
    ("deploy/local/hub_repository.py", "onnx"): "suffixes of the files that the Hub keeps in LFS",
}
"""Places outside a format's own, each with its reason."""


def words() -> set[str]:
    """Return the names of all formats and engines, and those of their folders and runtimes."""
    found = set(FORMATS)
    for name in FORMATS:
        for engine in load_format(name).engines:
            found |= {engine.name, engine.runtime, engine.runner.split(".")[2]}
    return found - SOURCE


def said(path: Path) -> Iterator[str]:
    """Yield what a file's code says: identifiers and texts, without docstrings and comments."""
    if path.suffix != ".py":
        yield path.read_text(encoding="utf-8")
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # A text that is a statement of its own is a docstring.
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.keyword):
            yield node.arg or ""


def named(root: Path, names: Iterable[str], tops: Iterable[str] = TOPS) -> set[tuple[str, str]]:
    """Return (file, word) for each of these names that stands outside its own folder, in files and in their names."""
    files = [path for top in tops for path in sorted((root / top).rglob("*.py"))]
    files += [path for path in (root / "Makefile", root / "tests" / "run.py") if path.exists()]
    patterns = {word: re.compile(rf"(?<![A-Za-z]){re.escape(word)}(?![a-z])", re.IGNORECASE) for word in names}
    found = set()
    for path in files:
        place = path.relative_to(root).as_posix()
        if any(place.startswith(f"{own}/") and place.count("/") > own.count("/") + 1 for own in OWN):
            continue
        text = "\n".join([place, *said(path)])
        found |= {(place, word) for word, pattern in patterns.items() if pattern.search(text)}
    return found


def test_names_stand_in_their_own_folders_only() -> None:
    assert named(REPOSITORY, words()) - ELSEWHERE.keys() == set()


def test_rooms_that_open_no_source_name_no_format_at_all() -> None:
    assert named(REPOSITORY, SOURCE, UPPER) == set()


def test_no_exception_is_kept_that_nothing_needs() -> None:
    assert ELSEWHERE.keys() - named(REPOSITORY, words()) == set()


def test_no_format_knows_another() -> None:
    """Nor does an engine know a format: its folder stands below."""
    for name in FORMATS:
        others = {other for other in FORMATS if other not in (name, *SOURCE)}
        for path in (REPOSITORY / "tasks" / "formats" / name).rglob("*.py"):
            imported = "\n".join(said(path))
            assert not any(f"tasks.formats.{other}" in imported for other in others), path


def test_the_rule_sees_what_breaks_it(tmp_path: Path) -> None:
    for name, text in {
        "tasks/release/a.py": 'if target.format == "gguf":\n    pass\n',
        "tasks/release/b.py": '"""Says GGUF in prose."""\n# and onnx in a comment\n',
        "tasks/engines/llama_cpp/c.py": 'NAME = "llama.cpp"\n',
        "operators/d.py": "def onnx_only() -> None: ...\n",
        "operators/e.py": "async def f() -> None:\n    g(onnx=1)\n",
        "tasks/gates/gguf_rules.py": "",
        "Makefile": "setup:\n\tmake llama-cpp\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert named(tmp_path, words()) == {
        ("tasks/release/a.py", "gguf"), ("operators/d.py", "onnx"), ("operators/e.py", "onnx"),
        ("tasks/gates/gguf_rules.py", "gguf"), ("Makefile", "llama-cpp"),
    }  # fmt: skip
