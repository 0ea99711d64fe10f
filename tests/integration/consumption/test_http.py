"""`mlflow models serve`, in an environment that holds what the model's own requirements name, answers over HTTP."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.released import ReleasedStack
from tests.fixtures.servers import free_port, running
from tests.integration.consumption.conftest import RunnerSays
from tests.integration.consumption.consumer import Consumer, lines_of
from tests.integration.consumption.prompts import MESSAGES, PROMPTS

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


@pytest.fixture(scope="module")
def served(consumer: Consumer, released_stack: ReleasedStack) -> Iterator[tuple[str, str]]:
    """The address of the server that the report's first line starts, and its second line, which asks it."""
    port = free_port()
    lines = lines_of(released_stack, consumer.target)["HTTP, from the registry"].replace("5001", str(port))
    serve, ask = lines.split("\n", 1)
    address = f"http://127.0.0.1:{port}"
    with running(["bash", "-c", f"exec {serve}"], consumer.variables, f"{address}/ping", consumer.folder / "log"):
        yield address, ask


def post(address: str, body: bytes, kind: str = "application/json") -> tuple[int, Any]:
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_it_says_what_the_runner_says(served: tuple[str, str], consumer: Consumer, runner_says: RunnerSays) -> None:
    address, ask = served
    said = runner_says(consumer.target)
    assert json.loads(consumer.run("bash", "-euc", ask)) == {"predictions": [{"text": said.texts[0]}]}
    rows: list[Any] = [{"prompt": prompt} for prompt in PROMPTS]
    split = {"dataframe_split": {"columns": ["prompt"], "data": [[prompt] for prompt in PROMPTS]}}
    whole = {"predictions": [{"text": text} for text in said.texts]}
    for payload in (split, {"dataframe_records": rows}, {"inputs": rows}):
        assert post(address, json.dumps(payload).encode()) == (200, whole)
    limited = {**split, "params": {"max_tokens": 16, "stop": ["\u0000never"]}}
    assert post(address, json.dumps(limited).encode())[1] == {"predictions": [{"text": text} for text in said.short]}
    stopped = {"inputs": rows[:1], "params": {"stop": [said.stop]}}
    ended = {"text": said.texts[0].split(said.stop)[0]}
    assert post(address, json.dumps(stopped).encode())[1] == {"predictions": [ended]}
    # As MLflow's clients of language models ask: without a frame around it.
    assert post(address, json.dumps({"prompt": PROMPTS[0], "max_tokens": 16}).encode()) == (
        200,
        [{"text": said.short[0]}],
    )
    assert post(address, json.dumps({"messages": MESSAGES}).encode()) == (200, [{"text": said.answer}])


BAD = [
    (b"{not json", "valid JSON"),
    (b'{"rows": [{"prompt": "Mira"}]}', "exactly one of the input fields"),
    (b'{"inputs": [{"promt": "Mira"}]}', "no row with a prompt or messages; give [{"),
    (b'{"prompt": "Mira", "max_tokens": "many"}', "max_tokens"),
    (b'{"prompt": "Mira", "max_tokens": -1}', "max_tokens is -1; give 0 or more."),
    (json.dumps({"prompt": "lantern " * 2000}).encode(), "shorten it."),
]


@pytest.mark.parametrize(("body", "sentence"), BAD, ids=range(len(BAD)))
def test_the_answer_to_a_bad_request_says_what_is_wrong(
    body: bytes, sentence: str, served: tuple[str, str], runner_says: RunnerSays, consumer: Consumer
) -> None:
    said = runner_says(consumer.target)
    status, answer = post(served[0], body)
    assert status == 400
    assert sentence in answer["message"]
    # It serves on.
    asked = json.dumps({"prompt": PROMPTS[0], "max_tokens": 16}).encode()
    assert post(served[0], asked) == (200, [{"text": said.short[0]}])


def test_it_listens_on_the_loopback_address_only(served: tuple[str, str]) -> None:
    port = int(served[0].rpartition(":")[2])
    listening = "0A"
    found = [
        row.split()[1]
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if row.split()[3] == listening and re.search(f":{port:04X}$", row.split()[1])
    ]
    assert found == [f"0100007F:{port:04X}"]
