"""The artifacts of chats_that_think.py, made once in the torch runtime."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.runtimes import runtime, runtime_variables
from tasks.settings import REPOSITORY


def run(name: str, program: str, folder: Path) -> str:
    environment = {**os.environ, **runtime_variables(name), "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    path = Path(__file__).with_name(program)
    done = subprocess.run([runtime(name).python, path, folder], env=environment, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


@pytest.fixture(scope="session")
def made_of_templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run("torch", "made_thinking.py", folder)
    return folder


def source_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "source.json").read_text())
    return found
