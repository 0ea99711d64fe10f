"""A released model is used from MLflow alone, by somebody who has what its own requirements name, and nothing else."""

import json
import os
import pickle
import pickletools
import subprocess
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from deploy.setup.llama_cache import current_folder
from deploy.setup.runtimes import torch_version
from deploy.setup.torch_source import torch_source
from deploy.setup.uv import uv_at_hand
from tasks.evaluation.reference_files import Generations, ReferenceInfo
from tasks.formats.registry import load_format
from tasks.manifest import Manifest
from tasks.release.mlmodel import EXAMPLE_PROMPT
from tasks.release.usage import usages
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tasks.store.artifacts import read_manifest
from tests.fixtures.released import ReleasedStack
from tests.fixtures.servers import free_port, running

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

HERE = Path(__file__).parent
LOCK = REPOSITORY / "deploy" / "runtimes" / "consumer.txt"
TARGETS = ("gguf-q4_k_m", "onnx-fp32", "safetensors-bf16")
PROMPTS = [
    EXAMPLE_PROMPT,
    "Mira keeps the lantern in the attic. Tam keeps the map in the barn.\nWhere is the lantern? It is in the",
    "def area(width, height):\n",
    "Вот эта свеча: она красная. 你好 🙂",
    "<|im_start|>user\nHello! It is Thursday.<|im_end|>\n<|im_start|>assistant\n",
]
REQUIREMENTS = "import mlflow.pyfunc, sys; print(mlflow.pyfunc.get_model_dependencies(sys.argv[1]))"
DOWNLOAD = "import mlflow.artifacts, sys; mlflow.artifacts.download_artifacts(sys.argv[1], dst_path=sys.argv[2])"


@dataclass(frozen=True)
class Consumer:
    """A fresh environment for one released model: its interpreter, and the folder to run it in with its variables."""

    target: str
    address: str
    python: Path
    folder: Path
    variables: dict[str, str]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder; fails unless it succeeds."""
        done = run(command, self.folder, self.variables)
        assert done.returncode == 0, done.stderr
        return done


def run(command: Sequence[str | Path], folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )


def outside(released: ReleasedStack, python: Path, home: Path) -> dict[str, str]:
    """The variables of somebody who was told the stack's addresses and credentials; PATH begins where `python` is."""
    return {"PATH": f"{python.parent}:{os.environ['PATH']}", "HOME": str(home), **released.environment}


@pytest.fixture(scope="module", params=TARGETS)
def consumer(
    request: pytest.FixtureRequest, released_stack: ReleasedStack, tmp_path_factory: pytest.TempPathFactory
) -> Consumer:
    """An environment with what the champion's requirements name, installed as its user would."""
    folder, address = tmp_path_factory.mktemp(request.param), released_stack.champion(request.param)
    with_mlflow = runtime("consumer").python
    told = run([with_mlflow, "-c", REQUIREMENTS, address], folder, outside(released_stack, with_mlflow, folder))
    requirements = told.stdout.strip().splitlines()[-1]
    python = folder / "environment" / "bin" / "python"
    uv, pip = uv_at_hand()
    # Constrained only so that a package published tomorrow does not decide today's result.
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python, "--constraints", LOCK]
    sources: dict[str, Sequence[str | Path]] = {
        # A user would wait for llama.cpp's compiler; this machine has its library already.
        "gguf": ["--find-links", current_folder() / "bindings"],
        "safetensors": torch_source(torch_version()).arguments,
    }
    format = released_stack.target(request.param).format
    subprocess.run([uv, "venv", "--quiet", "--python", with_mlflow, folder / "environment"], env=pip, check=True)
    subprocess.run([*install, *sources.get(format, []), "-r", requirements], env=pip, check=True)
    variables = outside(released_stack, python, folder) | {"LLAMA_CPP_LIB_PATH": str(current_folder() / "lib")}
    return Consumer(request.param, address, python, folder, variables)


def manifest(released: ReleasedStack, target: str) -> Manifest:
    key = released.target(target).artifact
    assert key
    return read_manifest(released.store, key)


@dataclass(frozen=True)
class Texts:
    """What a runner says after each of PROMPTS, at most so many tokens long."""

    of_64: list[str]
    of_16: list[str]


RunnerTexts = Callable[[str], Texts]


@pytest.fixture(scope="module")
def runner_texts(released_stack: ReleasedStack, tmp_path_factory: pytest.TempPathFactory) -> RunnerTexts:
    """What the runner that measured a target says of its files in the store; prompts open and end as in evaluation."""

    @cache
    def measured(target: str) -> Texts:
        record, artifact = released_stack.target(target), manifest(released_stack, target)
        store, folder = released_stack.store, tmp_path_factory.mktemp("artifact")
        assert record.evaluation
        reference = read_manifest(store, read_manifest(store, record.evaluation).inputs["reference"])
        info = ReferenceInfo.from_json(store.get_bytes(f"{reference.prefix}reference.json"))
        generations = Generations.from_json(store.get_bytes(f"{reference.prefix}generations.json"))
        for entry in artifact.files:
            (folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
            store.get_file(artifact.prefix + entry.path, folder / entry.path)
        request = {
            "prompts": PROMPTS,
            "first_ids": info.first_token_ids,
            "stop_ids": generations.stop_ids,
            "limits": [64, 16],
        }
        done = run(
            [
                runtime(load_format(record.format).serve_runtime).python,
                HERE / "measure.py",
                record.format,
                folder,
                json.dumps(request),
            ],
            REPOSITORY,
            {**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert done.returncode == 0, done.stderr
        return Texts(*json.loads(done.stdout.splitlines()[-1]))

    return measured


def test_the_champion_says_what_its_runner_says(consumer: Consumer, runner_texts: RunnerTexts) -> None:
    done = consumer.run(consumer.python, HERE / "consume.py", consumer.address, json.dumps(PROMPTS))
    found = json.loads(done.stdout.splitlines()[-1])
    expected = runner_texts(consumer.target)
    assert found["texts"] == expected.of_64
    assert len(set(expected.of_64)) == len(PROMPTS)
    assert found["rows"] == [7, 8, 9, 10, 11]
    assert found["short"] == expected.of_16
    assert found["one"] == found["example_text"] == expected.of_64[0]
    assert found["example"] == {"prompt": [EXAMPLE_PROMPT]}
    assert found["inputs"] == [{"type": "string", "name": "prompt", "required": True}]
    assert found["outputs"] == [{"type": "string", "name": "text", "required": True}]
    assert found["params"] == {"max_tokens": 64, "stop": []}
    assert found["has_torch"] == (consumer.target == "safetensors-bf16")
    assert found["ours"] == []
    # MLflow warns of requirements that are not met.
    assert "WARNING" not in done.stderr


def test_the_reports_lines_work(consumer: Consumer, released_stack: ReleasedStack, runner_texts: RunnerTexts) -> None:
    expected = runner_texts(consumer.target).of_64[0]
    said = {}
    for usage in usages(released_stack.target(consumer.target), manifest(released_stack, consumer.target)):
        if "HTTP" not in usage.title:
            shell = [consumer.python, "-c"] if "Python" in usage.title else ["bash", "-euc"]
            said[usage.title] = consumer.run(*shell, usage.lines).stdout
    assert said["Python, from the registry"] == f"{expected}\n"
    assert (consumer.folder / consumer.target / "MLmodel").is_file()
    files = len(manifest(released_stack, consumer.target).files)
    assert said["The files behind the alias, checked, in Python"] == f"{files} files are what was released\n"
    own = {
        title: text for title, text in said.items() if title.startswith(("llama.cpp", "onnxruntime", "transformers"))
    }
    assert len(own) == 1
    assert all(text.strip() for text in own.values())


def test_it_is_served_over_http_as_the_report_says(
    released_stack: ReleasedStack, runner_texts: RunnerTexts, tmp_path: Path
) -> None:
    target = released_stack.target("onnx-fp32")
    listed = usages(target, manifest(released_stack, target.target))
    lines = next(usage.lines for usage in listed if usage.title == "HTTP, from the registry")
    port = free_port()
    serve, ask = lines.replace("5001", str(port)).split("\n", 1)
    variables = outside(released_stack, runtime("consumer").python, tmp_path)
    with running(["bash", "-c", f"exec {serve}"], variables, f"http://127.0.0.1:{port}/ping", tmp_path / "log"):
        answered = run(["bash", "-euc", ask], tmp_path, variables).stdout
    assert json.loads(answered) == {"predictions": [{"text": runner_texts(target.target).of_64[0]}]}


def test_the_lines_that_the_demo_prints_work(released_stack: ReleasedStack, runner_texts: RunnerTexts) -> None:
    assert released_stack.status == 0, released_stack.output
    printed = released_stack.output.split("To load a champion:\n")[1].splitlines()
    shell = [line.strip() for line in printed if line.startswith("  ") and ">>>" not in line]
    typed = [line.partition(">>> ")[2] for line in printed if ">>>" in line]
    assert (len(shell), len(typed)) == (2, 3)
    done = subprocess.run(
        ["bash", "-euc", f"{shell[0]}\n{shell[1]} -i -q"],
        input="\n".join([*typed, ""]),
        cwd=REPOSITORY,
        env=released_stack.stack.variables(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    loaded = next(
        target for target in released_stack.release.passed if f"{target.registered_name}@champion" in typed[1]
    )
    assert done.stdout.splitlines()[-1:] == [repr(runner_texts(loaded.target).of_64[0])], done.stderr


def test_the_cache_changes_nothing(released_stack: ReleasedStack, tmp_path: Path) -> None:
    python = runtime("consumer").python
    variables = outside(released_stack, python, tmp_path)
    assert (
        run([python, "-c", DOWNLOAD, released_stack.champion("onnx-fp32"), "model"], tmp_path, variables).returncode
        == 0
    )
    done = run([python, HERE / "step_by_step.py", "model", " ".join(PROMPTS)], tmp_path, variables)
    found = json.loads(done.stdout)
    assert found["tokens"] > 50
    assert found["difference"] < 1e-4
    assert found["same_best"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_byte_that_changed_in_the_store_is_found(target: str, released_stack: ReleasedStack, tmp_path: Path) -> None:
    artifact = manifest(released_stack, target)
    weights = max(artifact.files, key=lambda entry: entry.size)
    name = artifact.prefix + weights.path
    whole = released_stack.store.get_bytes(name)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    lines = next(usage.lines for usage in usages(released_stack.target(target), artifact) if "checked" in usage.title)
    python = runtime("consumer").python
    variables = outside(released_stack, python, tmp_path)
    try:
        released_stack.store.put_bytes(name, bytes(flipped))
        done = run([python, "-c", lines], tmp_path, variables)
    finally:
        released_stack.store.put_bytes(name, whole)
    assert done.returncode == 1
    assert done.stderr.endswith(f"{weights.path} is not what was released\n")
    done = run([python, "-c", lines], tmp_path, variables)
    assert done.stdout == f"{len(artifact.files)} files are what was released\n", done.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_no_file_is_a_pickle(target: str, released_stack: ReleasedStack, tmp_path: Path) -> None:
    artifact = manifest(released_stack, target)
    for entry in artifact.files:
        file = tmp_path / "file"
        released_stack.store.get_file(artifact.prefix + entry.path, file)
        assert not is_pickle(file.read_bytes()), entry.path
        assert not zipfile.is_zipfile(file), entry.path
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert is_pickle(pickle.dumps({"weights": [1.5]}, protocol))


def is_pickle(data: bytes) -> bool:
    """Whether `data` begins with a whole pickle, of any protocol."""
    try:
        return len(list(pickletools.genops(data))) > 1
    except (ValueError, UnicodeDecodeError):
        return False
