"""The engine's entry points lead to its own modules."""

import ast
from importlib.util import find_spec
from pathlib import Path

from tasks.engines.llama_cpp.engine import ENGINE


def test_its_modules_are_there_and_its_build_is_part_of_keys() -> None:
    module, function = ENGINE.runner.split(":")
    spec = find_spec(module)
    assert spec and spec.origin
    assert f"def {function}(" in Path(spec.origin).read_text(encoding="utf-8")
    assert "def open_engine(" in ENGINE.serving_file.read_text(encoding="utf-8")
    assert ENGINE.native == ("llama.cpp",)


def test_the_report_s_lines_of_python_parse_and_hold_the_prompt() -> None:
    lines = {usage.title: usage.lines for usage in ENGINE.usage("q4", ["LICENSE", "m.gguf"], {}, "Once upon", None)}
    python = next(text for title, text in lines.items() if "Python" in title)
    ast.parse(python)
    assert '"q4/m.gguf"' in python and '"Once upon"' in python
