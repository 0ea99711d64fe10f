"""llama-server, started by the line of the report, and MLflow's code render chats as the source does."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from deploy.setup.native.llama_cpp.cache import current_folder
from tasks.engines.llama_cpp.usage import usage
from tests.fixtures.servers import free_port, running
from tests.tasks.engines.llama_cpp.chats_that_think import TEMPLATES
from tests.tasks.engines.llama_cpp.conftest import run, source_of

pytestmark = pytest.mark.servers

OPTIONS = {
    **dict.fromkeys(("off", "gemma"), " --reasoning off"),
    "unseen": " --reasoning on",
    **dict.fromkeys(("drops", "sent"), " --no-reasoning-preserve"),
}
"""The options without which llama-server renders other chats."""


def line_of(folder: Path) -> str:
    """Return the command of the report's line for llama-server."""
    output = folder / "output"
    files = [path.name for path in output.iterdir()]
    return usage(str(output), files, source_of(folder)["facts"], "Once", None)[0].lines.splitlines()[0]


def rendered(command: str, chats: list[Any], log: Path) -> list[str]:
    """Return what llama-server makes of each chat."""
    port, texts = free_port(), []
    address = f"http://127.0.0.1:{port}"
    start = ["bash", "-c", f"exec {current_folder()}/bin/{command.replace('8080', str(port))}"]
    with running(start, {}, f"{address}/health", log):
        for chat in chats:
            body = json.dumps({"messages": chat}).encode()
            request = urllib.request.Request(f"{address}/apply-template", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                texts.append(json.loads(answer.read())["prompt"])
    return texts


# llama-server leaves out the BOS of "opened" and puts it before the tokens.
@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in ("neither", "opened", "unread")])
def test_the_line_renders_chats_as_the_source(made_of_templates: Path, tmp_path: Path, name: str) -> None:
    source, line = source_of(made_of_templates / name), line_of(made_of_templates / name)
    assert rendered(line, source["chats"], tmp_path / "log") == source["texts"]
    if option := OPTIONS.get(name):
        without = line.replace(option, "")
        assert without != line and len(source["facts"]["caveats"]) == 1
        assert rendered(without, source["chats"], tmp_path / "log") != source["texts"]


def test_a_template_for_which_no_line_is_right_is_noted(made_of_templates: Path, tmp_path: Path) -> None:
    source, line = source_of(made_of_templates / "neither"), line_of(made_of_templates / "neither")
    assert "reasoning" not in line
    assert rendered(line, source["chats"], tmp_path / "log") != source["texts"]
    (note,) = source["facts"]["caveats"]
    assert note.endswith("llama-server's chats are not those that were compared; use MLflow for chats.")


def test_the_code_that_travels_with_the_file_renders_chats_as_the_source(made_of_templates: Path) -> None:
    wanted = {name: source_of(made_of_templates / name)["texts"] for name in TEMPLATES}
    assert json.loads(run("llama-cpp", "rendered_chats.py", made_of_templates)) == wanted
