"""Every line that a user is shown was run: those of the report for each target, and those that the demo prints."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest

from deploy.setup.native.llama_cpp.cache import current_folder
from tasks.runtimes import environments
from tasks.settings import REPOSITORY
from tests.fixtures.released import ReleasedStack
from tests.fixtures.servers import free_port, running
from tests.integration.consumption.conftest import RunnerSays
from tests.integration.consumption.consumer import Consumer, lines_of
from tests.integration.consumption.prompts import PROMPTS
from tests.integration.consumption.test_files import CHECK, DOWNLOAD

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

ELSEWHERE = {"Install what it needs, in a fresh environment", "HTTP, from the registry"}
"""Run by the environment's fixture, and by test_http.py."""

EACH = """
import contextlib, io, json, sys
printed = []
for lines in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(lines, {"__name__": "__main__"})
    printed.append(output.getvalue())
print(json.dumps(printed))
"""
"""Runs each argument as a program of its own, and prints what each printed; MLflow is imported once."""


def test_the_reports_lines_work(consumer: Consumer, released_stack: ReleasedStack, runner_says: RunnerSays) -> None:
    text = runner_says(consumer.target).texts[0]
    lines = {title: told for title, told in lines_of(released_stack, consumer.target).items() if title not in ELSEWHERE}
    page = unescape((released_stack.stack.home / "stack" / "report.html").read_text())
    assert all(told in page for told in lines.values())
    of_registry = [
        lines.pop(f"Python, {title}")
        for title in ("from the registry", "as a stream", "a chat with the model's own template")
    ]
    answered, streamed, chatted = json.loads(consumer.run(consumer.python, "-c", EACH, *of_registry))
    assert (answered, streamed) == (f"{text}\n", text)
    assert chatted.strip()
    consumer.run("bash", "-euc", lines.pop(DOWNLOAD))
    assert consumer.run(consumer.python, "-c", lines.pop(CHECK)).endswith(" files are what was released\n")
    if served := lines.pop("llama.cpp, as an HTTP server", ""):
        port = free_port()
        serve, ask = served.replace("8080", str(port)).split("\n", 1)
        program = f"cd {consumer.folder} && exec {current_folder()}/bin/{serve}"
        with running(["bash", "-c", program], {}, f"http://127.0.0.1:{port}/health", consumer.folder / "llama.log"):
            assert json.loads(consumer.run("bash", "-euc", ask))["content"] == text
    ((title, told),) = lines.items()
    assert title.startswith(("llama.cpp", "onnxruntime", "transformers"))
    # transformers' pipeline repeats the prompt.
    assert consumer.run(consumer.python, "-c", told).removeprefix(PROMPTS[0]) == f"{text}\n"


def test_the_lines_that_the_demo_prints_work(released_stack: ReleasedStack, runner_says: RunnerSays) -> None:
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
    assert done.stdout.splitlines()[-1:] == [repr(runner_says(loaded.target).texts[0])], done.stderr


def test_the_readmes_lines_work(released_stack: ReleasedStack, runner_says: RunnerSays, tmp_path: Path) -> None:
    section = (REPOSITORY / "README.md").read_text().split("## Use a release\n")[1].split("\n## ")[0]
    # Whatever lies in the state folder lies in the test's own, and nothing is written into the checkout.
    section = section.replace(".hallmark/envs/", f"{environments()}/").replace("--dst-path ", f"--dst-path {tmp_path}/")
    loading, fetching = re.findall(r"```console\n(.*?)```", section, re.DOTALL)[:2]
    shell = [line[2:] for line in loading.splitlines() if line.startswith("$ ")]
    typed = [line[4:] for line in loading.splitlines() if line.startswith(">>> ")]
    assert shell[1].endswith("/python") and len(typed) >= 3
    variables = released_stack.stack.variables()
    done = subprocess.run(
        ["bash", "-euc", f"{shell[0]}\n{shell[1]} -i -q"],
        input="\n".join([*typed, ""]),
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert repr(runner_says("gguf-q4_k_m").short[0]) in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    lines = "\n".join([shell[0], *(line[2:] for line in fetching.splitlines() if line.startswith("$ "))])
    done = subprocess.run(["bash", "-euc", lines], cwd=REPOSITORY, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("*/MLmodel")] == ["MLmodel"]
