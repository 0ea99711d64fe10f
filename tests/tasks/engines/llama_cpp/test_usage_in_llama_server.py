"""llama-server, started by the lines of the report, reads and ends texts and chats as the source does."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.setup.native.llama_cpp.cache import current_folder
from tasks.engines.base import Usage
from tasks.engines.llama_cpp.server import read_chats
from tasks.engines.llama_cpp.usage import usage
from tasks.engines.mlmodel import EXAMPLE_QUESTION
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tests.fixtures.servers import free_port, running

pytestmark = pytest.mark.servers

ENDS, MISTAKEN, FIM, ORDINARY = (1, 300, 301), 384, 385, 302
"""As made_served.py makes them; the last is an ordinary token."""

PROMPT = "She counted 12 ships"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    program = Path(__file__).with_name("made_served.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run([runtime("torch").python, program, folder], env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def source(made: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made / "source.json").read_text())
    return found


@pytest.fixture(scope="module")
def lines(made: Path, source: dict[str, Any]) -> list[Usage]:
    files = [path.name for path in (made / "output").iterdir()]
    return [
        line for line in usage(str(made / "output"), files, source["facts"], PROMPT, None) if "server" in line.title
    ]


@contextmanager
def served(line: Usage, folder: Path) -> Iterator[tuple[str, str]]:
    """Run the server of a line; yield its address, and the request of the line."""
    port = free_port()
    serve, request = line.lines.replace("8080", str(port)).split("\n", 1)
    command = ["bash", "-c", f"exec {current_folder()}/bin/{serve}"]
    with running(command, {}, f"http://127.0.0.1:{port}/health", folder / f"{port}.log"):
        yield f"http://127.0.0.1:{port}", request


@pytest.fixture(scope="module")
def texts(lines: list[Usage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(lines[0], tmp_path_factory.mktemp("texts")) as (address, _):
        yield address


def ask(address: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def chat_tokens(address: str) -> int:
    body = {"messages": [{"role": "user", "content": EXAMPLE_QUESTION}], "max_tokens": 1, "cache_prompt": False}
    return int(ask(address, "/v1/chat/completions", body)["usage"]["prompt_tokens"])


@pytest.mark.parametrize(
    ("token", "stop"), [*((end, "eos") for end in ENDS), (FIM, "eos"), (MISTAKEN, "limit"), (ORDINARY, "limit")]
)
def test_a_text_ends_at_every_end_of_the_source_and_at_those_that_are_told(texts: str, token: int, stop: str) -> None:
    body = {"prompt": PROMPT, "n_predict": 2, "temperature": 0, "logit_bias": [[token, 1000]], "return_tokens": True}
    answer = ask(texts, "/completion", body)
    assert (answer["tokens"][0], answer["stop_type"]) == (token, stop)


def test_what_differs_from_the_source_is_told(source: dict[str, Any]) -> None:
    renamed, added = source["facts"]["caveats"]
    assert "'<eos>' (384)" in renamed
    assert added.startswith("llama-server and llama.cpp's other programs also end a text at '<|fim_pad|>' (385), where")


def test_an_ordinary_token_with_the_text_of_an_end_is_cut_as_the_source_cuts_it(
    texts: str, source: dict[str, Any]
) -> None:
    found = ask(texts, "/tokenize", {"content": "<eos>", "parse_special": True})["tokens"]
    assert found == source["mistaken_ids"] and MISTAKEN not in found


def test_the_line_for_texts_opens_them_as_the_source(texts: str, source: dict[str, Any]) -> None:
    body = {"prompt": PROMPT, "n_predict": 1, "cache_prompt": False}
    assert ask(texts, "/completion", body)["tokens_evaluated"] == len(source["prompt_ids"])
    assert source["prompt_ids"][0] == 0


def test_the_line_for_chats_opens_them_as_the_source(
    texts: str, lines: list[Usage], source: dict[str, Any], tmp_path: Path
) -> None:
    wanted = len(source["chat_ids"])
    assert chat_tokens(texts) == wanted + 1  # With BOS: why chats have a line of their own.
    with served(lines[1], tmp_path) as (address, request):
        assert chat_tokens(address) == wanted
        done = subprocess.run(["bash", "-euc", request], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["usage"]["prompt_tokens"] == wanted


def test_chats_are_read_with_the_options_of_their_own_line(made: Path, source: dict[str, Any], tmp_path: Path) -> None:
    chat = [{"role": "user", "content": EXAMPLE_QUESTION}]
    assert read_chats(made / "output", source["facts"], [chat], tmp_path) == [tuple(source["chat_ids"])]
