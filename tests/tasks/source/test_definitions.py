"""What is read when a DAG is parsed is light; keys cover the code that decides what scan and analysis say."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

from tasks.contract import TaskDefinition
from tasks.plan.definitions import PREFLIGHT
from tasks.settings import REPOSITORY
from tasks.source.definitions import ANALYZE, FETCH, PIN, SCAN

ALL = (PIN, FETCH, SCAN, ANALYZE, PREFLIGHT)
CONTRACTS = {
    *("tasks/contract.py", "tasks/errors.py", "tasks/model.py", "tasks/source/parameters.py"),
    *("tasks/host/tools.py", "tasks/host/control_group.py", "tasks/host/shortage.py"),
}
"""Shapes of values and errors, how a process is started and how its death is told; parameters are in the key by their
values."""


def test_reading_definitions_and_models_needs_no_heavy_package() -> None:
    light = "definitions, parameters, scan_record\nfrom tasks.plan import plan\nfrom tasks.checkpoint import analysis"
    blocked = ("numpy", "torch", "huggingface_hub", "httpx2", "tokenizers", "jinja2", "safetensors")
    code = f"import sys\nfor name in {blocked}: sys.modules[name] = None\nfrom tasks.source import {light}"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("definition", ALL, ids=lambda definition: definition.name)
def test_what_a_definition_names_exists(definition: TaskDefinition) -> None:
    module, name = definition.parameters.split(":")
    assert hasattr(import_module(module), name)
    module, name = definition.function.split(":")
    assert hasattr(import_module(module), name)
    assert all((REPOSITORY / place).exists() for place in definition.code)


@pytest.mark.parametrize("definition", [SCAN, ANALYZE], ids=lambda definition: definition.name)
def test_the_key_covers_all_code_that_is_used(definition: TaskDefinition) -> None:
    start = definition.function.split(":")[0].replace(".", "/") + ".py"
    used = {file for file in _imports(start, set()) if file not in CONTRACTS}
    covered = {file for file in used if any(file == place or file.startswith(f"{place}/") for place in definition.code)}
    assert used - covered == set()


def test_the_key_of_a_fetch_covers_what_chooses_its_files() -> None:
    chosen_by = [
        file for file in _imports("tasks/source/selection.py", set()) if file == "tasks/checkpoint/companions.py"
    ]
    assert chosen_by and set(chosen_by) <= set(FETCH.code)


def _imports(file: str, seen: set[str]) -> set[str]:
    if file in seen or file in CONTRACTS:
        return seen
    seen.add(file)
    for module in _modules((REPOSITORY / file).read_text()):
        imported = module.replace(".", "/") + ".py"
        if (REPOSITORY / imported).is_file():
            _imports(imported, seen)
    return seen


def _modules(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tasks"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
