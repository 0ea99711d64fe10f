"""A released model is used from MLflow alone, by somebody who has what its own requirements name, and nothing else."""

import json
from pathlib import Path

import pytest

from tasks.engines.mlmodel import EXAMPLE_PROMPT
from tests.fixtures.released import ReleasedStack
from tests.integration.consumption.conftest import RunnerSays
from tests.integration.consumption.consumer import Consumer, artifact_of
from tests.integration.consumption.prompts import MESSAGES, PROMPTS

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

CONSUME = Path(__file__).with_name("consume.py")


def test_the_champion_says_what_its_runner_says(
    consumer: Consumer, runner_says: RunnerSays, released_stack: ReleasedStack
) -> None:
    said = runner_says(consumer.target)
    request = json.dumps({"prompts": PROMPTS, "messages": MESSAGES, "stop": said.stop})
    found = json.loads(consumer.run(consumer.python, CONSUME, consumer.address, request).splitlines()[-1])
    assert found["texts"] == said.texts
    assert len(set(said.texts)) == len(PROMPTS)
    assert found["rows"] == [7, 8, 9, 10, 11]
    assert found["short"] == said.short
    assert found["one"] == found["example_text"] == said.texts[0]
    assert found["example"] == {"prompt": [EXAMPLE_PROMPT]}
    assert found["stopped"] == said.texts[0].split(said.stop)[0] != said.texts[0]
    assert found["answer"] == said.answer != ""

    assert ["".join(pieces) for pieces in found["streams"]] == said.texts
    # Hardly a token that comes alone is no whole character.
    tokens = sum(map(len, said.ids))
    assert 0.8 * tokens < sum(map(len, found["streams"])) <= tokens
    assert all("" not in pieces for pieces in found["streams"])
    assert "".join(found["stopped_stream"]) == found["stopped"]
    assert "".join(found["answer_stream"]) == said.answer

    assert found["inputs"] == ["prompt", "messages"]
    assert found["outputs"] == [{"type": "string", "name": "text", "required": True}]
    assert found["params"] == {"max_tokens": 64, "stop": []}

    refused = found["refused"]
    assert "tokens, the model takes" in refused["long"] and refused["long"].endswith("shorten it.")
    assert refused["column"].startswith("The input has no row with a prompt or messages; give [{")
    assert "Can not safely convert int64" in refused["number"]
    assert "Missing required properties: {'content'}" in refused["roles"]
    assert "Can not safely convert" in refused["limit"] and "max_tokens" in refused["limit"]

    artifact = artifact_of(released_stack, consumer.target)
    named = released_stack.store.get_bytes(f"{artifact.prefix}requirements.txt").decode()
    assert found["requirements"] == named
    assert found["has_torch"] == (consumer.target == "safetensors-bf16")
    assert found["ours"] == []
