"""The engines themselves open the files as they lie in the store, and say what the runners said."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.setup.native.llama_cpp.cache import current_folder
from tasks.evaluation.reference_files import Generations, ReferenceInfo
from tasks.runtimes import runtime
from tasks.store.artifacts import read_manifest
from tests.fixtures.released import ReleasedStack
from tests.fixtures.servers import free_port, running
from tests.integration.consumption.conftest import RunnerSays
from tests.integration.consumption.consumer import PASSIVE, run
from tests.integration.consumption.prompts import MESSAGES, PROMPTS, TARGETS

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

HERE = Path(__file__).parent
PlainFiles = Callable[[str], Path]


def direct(program: str, python: Path, folder: Path, request: dict[str, Any], home: Path) -> Any:
    """Run a program that has its engine alone, and no server's address; return what it printed."""
    variables = {"HOME": str(home), "HF_HUB_OFFLINE": "1", **PASSIVE}
    done = run([python, HERE / program, folder, json.dumps(request)], home, variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_transformers_says_it(plain_files: PlainFiles, runner_says: RunnerSays, tmp_path: Path) -> None:
    said, folder = runner_says("safetensors-bf16"), plain_files("safetensors-bf16")
    request = {"prompts": PROMPTS, "messages": MESSAGES}
    found = direct("direct_transformers.py", runtime("torch").python, folder, request, tmp_path)
    assert found == {"ids": said.ids, "chat": said.chat, "chat_ids": said.chat_ids, "answer_ids": said.answer_ids}


@pytest.mark.parametrize("target", ["onnx-fp32", "onnx-int8"])
def test_onnxruntime_says_it_and_its_cache_changes_nothing(
    target: str, released_stack: ReleasedStack, plain_files: PlainFiles, runner_says: RunnerSays, tmp_path: Path
) -> None:
    store, evaluation = released_stack.store, released_stack.target(target).proofs[0].evaluation
    assert evaluation
    reference = read_manifest(store, read_manifest(store, evaluation).inputs["reference"])
    info = ReferenceInfo.from_json(store.get_bytes(f"{reference.prefix}reference.json"))
    generations = Generations.from_json(store.get_bytes(f"{reference.prefix}generations.json"))
    request = {
        "prompts": PROMPTS,
        "first_ids": info.first_token_ids,
        "stop_ids": generations.stop_ids,
        "text": " ".join(PROMPTS),
    }
    python = runtime("consumer").python
    found = direct("direct_onnxruntime.py", python, plain_files(target), request, tmp_path)
    assert found["ids"] == runner_says(target).ids
    assert found["tokens"] > 50
    if target == "onnx-fp32":
        assert found["difference"] < 1e-4
        assert found["same_best"]


@pytest.fixture(scope="module")
def llama_server(plain_files: PlainFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp's own server on the file as it lies in the store; its address."""
    model, port = next(plain_files("gguf-q4_k_m").glob("*.gguf")), free_port()
    program = current_folder() / "bin" / "llama-server"
    assert program.is_file(), "llama-server is not built; run: python3 -m deploy.setup llama.cpp server"
    command = [str(program), "--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--parallel", "1"]
    address = f"http://127.0.0.1:{port}"
    with running(command, {}, f"{address}/health", tmp_path_factory.mktemp("llama") / "log"):
        yield address


def ask(address: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


def test_llama_server_says_it(llama_server: str, runner_says: RunnerSays) -> None:
    said = runner_says("gguf-q4_k_m")
    greedy = {"n_predict": 64, "temperature": 0, "return_tokens": True, "cache_prompt": False}
    for prompt, ids in zip(PROMPTS, said.ids, strict=True):
        answer = ask(llama_server, "/completion", {"prompt": prompt, **greedy})
        # The token that ends a text is one of its tokens here.
        ended = answer["stop_type"] == "eos"
        assert answer["tokens"][: -1 if ended else None] == ids
        assert ended == (len(ids) < 64)


def test_llama_server_chats_by_the_models_template(llama_server: str, runner_says: RunnerSays) -> None:
    said = runner_says("gguf-q4_k_m")
    body = {"messages": MESSAGES, "max_tokens": 64, "temperature": 0, "cache_prompt": False}
    answer = ask(llama_server, "/v1/chat/completions", body)
    assert answer["choices"][0]["message"]["content"] == said.answer
    rendered = ask(llama_server, "/apply-template", {"messages": MESSAGES})["prompt"]
    # The server leaves out the BOS that the template begins with, and puts it back with the tokens.
    given = {"content": rendered, "parse_special": True, "add_special": True}
    tokens = ask(llama_server, "/tokenize", given)["tokens"]
    for target in TARGETS:
        assert runner_says(target).chat == said.chat
        assert runner_says(target).chat_ids == tokens
    assert said.chat.endswith(rendered)
