import ast
from pathlib import Path

import pytest

from tasks.contract import TaskDefinition
from tasks.evaluation.definitions import MODEL_FILES, REFERENCE, benchmark_definition, evaluate_definition
from tasks.formats.base import Format
from tasks.settings import REPOSITORY

CONVERT = TaskDefinition("convert", "a:b", "a:B", "torch", ("tasks/formats/toy",), native=("engine",))
TOY = Format("toy", (), lambda *a: None, lambda *a: None, CONVERT, "engine-runtime", "a:open", "a:inspect")  # type: ignore[arg-type]
DEFINITIONS = [REFERENCE, evaluate_definition(TOY), benchmark_definition(TOY)]


def imported(path: Path, found: set[str]) -> set[str]:
    """Return the modules of tasks.evaluation that a file imports, however far down."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks.evaluation."):
            place = f"{(node.module or '').replace('.', '/')}.py"
            if place not in found:
                found.add(place)
                imported(REPOSITORY / place, found)
    return found


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_the_code_named_is_the_code_that_runs(definition: TaskDefinition) -> None:
    start = f"{definition.function.partition(':')[0].replace('.', '/')}.py"
    needed = imported(REPOSITORY / start, {start})
    if definition is not REFERENCE:
        for runner in (REPOSITORY / "tasks" / "formats").glob("*/runner.py"):
            imported(runner, needed)
    assert {place for place in definition.code if place.startswith("tasks/evaluation/")} == needed


def test_engines_and_their_native_builds_belong_to_the_key() -> None:
    for definition in DEFINITIONS[1:]:
        assert definition.runtime == "engine-runtime"
        assert definition.native == ("engine",)
        assert "tasks/formats/toy" in definition.code
    assert benchmark_definition(TOY).hardware
    assert not evaluate_definition(TOY).hardware


def test_a_readme_is_no_part_of_the_reference() -> None:
    from fnmatch import fnmatchcase

    read = [name for name in ("README.md", "LICENSE", "config.json", "model.safetensors", "chat_template.jinja")
            if any(fnmatchcase(name, pattern) for pattern in MODEL_FILES)]  # fmt: skip
    assert read == ["config.json", "model.safetensors", "chat_template.jinja"]
