"""What is read when a DAG is parsed is light, and all that it names exists."""

import subprocess
import sys
from importlib import import_module

import pytest

from tasks.contract import TaskDefinition
from tasks.release.definitions import PREFLIGHT
from tasks.settings import REPOSITORY
from tasks.source.definitions import ANALYZE, FETCH, PIN, SCAN

ALL = (PIN, FETCH, SCAN, ANALYZE, PREFLIGHT)


def test_reading_definitions_and_models_needs_no_heavy_package() -> None:
    light = (
        "tasks.source.definitions, tasks.source.parameters, tasks.source.scan_record, "
        "tasks.release.definitions, tasks.plan.parameters, tasks.plan.plan, tasks.checkpoint.analysis"
    )
    blocked = ("numpy", "torch", "huggingface_hub", "httpx2", "tokenizers", "jinja2", "safetensors")
    code = f"import sys\nfor name in {blocked}: sys.modules[name] = None\nimport {light}"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("definition", ALL, ids=lambda definition: definition.name)
def test_what_a_definition_names_exists(definition: TaskDefinition) -> None:
    module, name = definition.parameters.split(":")
    assert hasattr(import_module(module), name)
    module, name = definition.function.split(":")
    assert hasattr(import_module(module), name)
