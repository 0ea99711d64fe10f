"""The table of tasks: all that it names exists, and reading it needs neither Airflow nor an engine."""

import ast
import subprocess
import sys
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

import pytest

from tasks.contract import TaskDefinition
from tasks.definitions import FIXED, OF_TARGET, TASK_NAMES, find_definition
from tasks.errors import InvalidRecipe
from tasks.evaluation.definitions import REFERENCE
from tasks.formats.registry import FORMATS, load_format, parse_target, target_names
from tasks.model import Model
from tasks.runtimes import lock_digest, native_digest
from tasks.settings import REPOSITORY

ONE_EACH = [parse_target(load_format(name).target_names[0]) for name in FORMATS]
DEFINITIONS = [
    *FIXED.values(),
    *(define(load_format(target.format), target) for define in OF_TARGET.values() for target in ONE_EACH),
]
HEAVY = (
    "airflow",
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "llama_cpp",
    "numpy",
    "boto3",
    "mlflow",
    "tokenizers",
)


def identity(definition: TaskDefinition) -> str:
    return f"{definition.name} {definition.runtime} {definition.roots}"


@pytest.mark.parametrize("definition", DEFINITIONS, ids=identity)
def test_what_a_definition_names_exists(definition: TaskDefinition) -> None:
    module, name = definition.function.split(":")
    # Read and not imported: its runtime is not this one.
    source = REPOSITORY / f"{module.replace('.', '/')}.py"
    functions = {node.name: node for node in ast.parse(source.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert len(functions[name].args.args) == 2, "a task is a function of its parameters and its context"
    module, name = definition.parameters.split(":")
    assert issubclass(getattr(import_module(module), name), Model)
    for root in definition.roots:
        module, _, name = root.partition(":")
        assert name in (REPOSITORY / f"{module.replace('.', '/')}.py").read_text()
    assert lock_digest(definition.runtime)
    for native in definition.native:
        assert native_digest(native)


@pytest.mark.parametrize(
    "definition",
    [found for found in DEFINITIONS if found.name in (REFERENCE.name, "convert", "compare_weights")],
    ids=identity,
)
def test_a_new_readme_is_no_new_model(definition: TaskDefinition) -> None:
    """Fetch, scan and analyze look at every file again. What takes long reads the weights and the notices alone."""
    patterns = definition.reads["snapshot"]
    assert any(fnmatchcase("model.safetensors", pattern) for pattern in patterns)
    assert not any(fnmatchcase("README.md", pattern) for pattern in patterns)


def test_what_is_not_keyed_talks_to_the_world_or_looks_at_this_host() -> None:
    unkeyed = {definition.name for definition in DEFINITIONS if not definition.keyed}
    assert unkeyed == {"pin", "preflight", "register", "report", "promote", "roll_back", "conclude", "sweep"}


def test_only_those_that_need_them_get_credentials() -> None:
    given = {definition.name: definition.access for definition in DEFINITIONS if definition.access}
    assert given == {
        "pin": ("hub",),
        "fetch": ("hub",),
        "preflight": ("registry",),
        "register": ("registry",),
        "report": ("registry",),
        "promote": ("registry",),
        "roll_back": ("registry",),
    }


@pytest.mark.parametrize("name", target_names())
def test_every_target_has_its_three_tasks(name: str) -> None:
    target = parse_target(name)
    for task in OF_TARGET if target.servable else ["convert"]:
        definition = find_definition(task, {"target": target.model_dump(mode="json")})
        assert definition.name == task
        named = (definition.function, *definition.roots)
        assert any(name.startswith(f"tasks.formats.{target.format}.") for name in named)


def test_a_wrong_name_is_explained() -> None:
    with pytest.raises(InvalidRecipe, match="no task 'evalute' .did you mean 'evaluate'"):
        find_definition("evalute", {})
    target = parse_target("gguf-q8_0").model_dump(mode="json")
    with pytest.raises(InvalidRecipe, match="no format 'ggfu' .did you mean 'gguf'"):
        find_definition("convert", {"target": {**target, "format": "ggfu"}})
    with pytest.raises(InvalidRecipe, match="format gguf has no maker 'lama.cpp' .did you mean 'llama.cpp'"):
        find_definition("convert", {"target": {**target, "maker": "lama.cpp"}})
    with pytest.raises(InvalidRecipe, match="No engine runs the target 'gguf-imatrix'"):
        find_definition("evaluate", {"target": parse_target("gguf-imatrix").model_dump(mode="json")})
    with pytest.raises(InvalidRecipe, match="needs a parameter 'target'"):
        find_definition("convert", {})
    with pytest.raises(InvalidRecipe, match="wrong parameter 'target': .scheme. is missing"):
        find_definition("convert", {"target": {key: target[key] for key in target if key != "scheme"}})
    assert "convert" in TASK_NAMES


def test_reading_them_needs_nothing_heavy() -> None:
    program = (
        f"import sys\nfor name in {HEAVY}: sys.modules[name] = None\n"
        "from tasks.definitions import FIXED, OF_TARGET\n"
        "from tasks.formats.registry import FORMATS, load_format, parse_target, target_names\n"
        "assert target_names() and [load_format(name).makers for name in FORMATS]\n"
        "import tasks.execution, tasks.recipe, tasks.store.open, tasks.store.local"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_task_knows_airflow() -> None:
    foreign = {"airflow", "operators", "dags", "deploy", "tests"}
    sources = sorted((REPOSITORY / "tasks").rglob("*.py"))
    assert len(sources) > 100
    assert {str(path): found for path in sources if (found := _imported(path) & foreign)} == {}


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}
