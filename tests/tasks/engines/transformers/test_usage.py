"""The lines that the report shows are whole, and name the files that are there."""

import ast

from tasks.engines.transformers.engine import ENGINE


def test_the_lines_of_python_parse_and_name_the_artifact_and_the_prompt() -> None:
    found = {usage.title: usage.lines for usage in ENGINE.usage("q4", ["model.safetensors"], {}, "Once upon", None)}
    lines = found["transformers, from Python"]
    ast.parse(lines)
    assert '"q4"' in lines and '"Once upon"' in lines
