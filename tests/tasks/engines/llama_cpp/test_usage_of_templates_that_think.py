"""llama-server, started by the line of the report, and MLflow's code render chats as the source does."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from deploy.setup.native.llama_cpp.cache import current_folder
from tasks.engines.llama_cpp.usage import usage
from tasks.runtimes import runtime, runtime_variables
from tasks.settings import REPOSITORY
from tests.fixtures.servers import free_port, running
from tests.tasks.engines.llama_cpp.chats_that_think import TEMPLATES

pytestmark = pytest.mark.servers

OPTIONS = {
    **dict.fromkeys(("off", "gemma"), " --reasoning off"),
    "unseen": " --reasoning on",
    **dict.fromkeys(("drops", "sent"), " --no-reasoning-preserve"),
}
"""The options without which llama-server renders other chats."""


def run(name: str, program: str, folder: Path) -> str:
    environment = {**os.environ, **runtime_variables(name), "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    path = Path(__file__).with_name(program)
    done = subprocess.run([runtime(name).python, path, folder], env=environment, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run("torch", "made_thinking.py", folder)
    return folder


def source_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "source.json").read_text())
    return found


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


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "neither"])
def test_the_line_renders_chats_as_the_source(made: Path, tmp_path: Path, name: str) -> None:
    source, line = source_of(made / name), line_of(made / name)
    assert rendered(line, source["chats"], tmp_path / "log") == source["texts"]
    if option := OPTIONS.get(name):
        without = line.replace(option, "")
        assert without != line and len(source["facts"]["caveats"]) == 1
        assert rendered(without, source["chats"], tmp_path / "log") != source["texts"]


def test_a_template_for_which_no_line_is_right_is_noted(made: Path, tmp_path: Path) -> None:
    source, line = source_of(made / "neither"), line_of(made / "neither")
    assert "reasoning" not in line
    assert rendered(line, source["chats"], tmp_path / "log") != source["texts"]
    (note,) = source["facts"]["caveats"]
    assert note.endswith("llama-server's chats are not those that were compared; use MLflow for chats.")


def test_the_code_that_travels_with_the_file_renders_chats_as_the_source(made: Path) -> None:
    wanted = {name: source_of(made / name)["texts"] for name in TEMPLATES}
    assert json.loads(run("llama-cpp", "rendered_chats.py", made)) == wanted
