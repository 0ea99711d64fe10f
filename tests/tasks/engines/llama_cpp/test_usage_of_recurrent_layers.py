"""llama-server, started by the line of the report, gives requests at once the tokens that it gives them alone."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.setup.native.llama_cpp.cache import current_folder
from tasks.engines.llama_cpp.usage import ONE_AT_A_TIME, usage
from tasks.formats.gguf.inspect import inspect
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tests.fixtures.servers import free_port, running

pytestmark = pytest.mark.servers

CASE = "mamba--gguf-f16--llama.cpp"
PROMPTS = ("Where is the dog? ", "She's sure 123 def add(", "Once upon a time there was", "At sea, Möwen")
ROUNDS = 20
HAS_AMX = "amx_int8" in Path("/proc/cpuinfo").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    program = REPOSITORY / "tests" / "matrix" / "make.py"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run([runtime("torch").python, program, folder, CASE], env=environment, check=True, capture_output=True)
    return folder / "mamba" / "gguf-f16" / "output"


@contextmanager
def served(command: str, log: Path) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running(["bash", "-c", f"exec {command} --port {port}"], {}, f"{address}/health", log):
        yield address


def tokens(address: str, prompt: str) -> list[int]:
    body = {"prompt": prompt, "n_predict": 64, "temperature": 0, "cache_prompt": False, "ignore_eos": True}
    data = json.dumps({**body, "return_tokens": True}).encode()
    request = urllib.request.Request(f"{address}/completion", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: list[int] = json.loads(answer.read())["tokens"]
    return found


def alone_and_together(address: str) -> tuple[list[list[int]], list[list[int]]]:
    alone = [tokens(address, prompt) for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS)) as callers:
        return alone, list(callers.map(lambda prompt: tokens(address, prompt), PROMPTS))


def reported(artifact: Path) -> str:
    """Return the command of the report, without its port."""
    files = [path.name for path in artifact.iterdir()]
    line = usage(str(artifact), files, inspect(artifact), PROMPTS[0], None)[0]
    return f"{current_folder()}/bin/{line.lines.partition(' --port')[0]}"


def test_a_model_with_recurrent_layers_answers_the_same_beside_other_requests(artifact: Path, tmp_path: Path) -> None:
    command = reported(artifact)
    assert ONE_AT_A_TIME in command
    with served(command, tmp_path / "as-reported.log") as address:
        alone, together = alone_and_together(address)
    assert together == alone


@pytest.mark.skipif(not HAS_AMX, reason="without AMX, llama.cpp was seen to decode such models together rightly")
def test_without_the_option_other_requests_change_the_answers(artifact: Path, tmp_path: Path) -> None:
    """If this fails, llama.cpp decodes such models together rightly on such a processor too, and the option can go."""
    with served(reported(artifact).replace(ONE_AT_A_TIME, ""), tmp_path / "several-at-once.log") as address:
        # Whether requests meet in one batch is chance.
        rounds = (alone_and_together(address) for _ in range(ROUNDS))
        assert any(together != alone for alone, together in rounds)
