"""The lines that the report shows are whole, and name the files that are there."""

import ast

from tasks.engines.llama_cpp.engine import ENGINE


def test_the_lines_of_python_parse_and_name_the_artifact_and_the_prompt() -> None:
    found = {
        usage.title: usage.lines
        for usage in ENGINE.usage("q4", ["LICENSE", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"], "Once upon")
    }
    lines = found["llama.cpp, from Python"]
    ast.parse(lines)
    assert '"q4/m-00001-of-00002.gguf"' in lines and '"Once upon"' in lines


def test_the_server_gets_the_first_shard_and_is_asked_by_the_prompt() -> None:
    found = {usage.title: usage.lines for usage in ENGINE.usage("q4", ["m-00001-of-00002.gguf", "x.gguf"], "Once")}
    assert found["llama.cpp, as an HTTP server"].startswith("llama-server --model q4/m-00001-of-00002.gguf --port")
    assert '"prompt": "Once"' in found["llama.cpp, as an HTTP server"]
