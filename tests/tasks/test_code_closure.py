"""A key covers all code that decides a task's output, and no other code."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tasks import code_closure
from tasks.code_closure import LEFT_OUT, closure, closure_digest
from tasks.contract import TaskDefinition
from tasks.definitions import FIXED, OF_TARGET, find_definition
from tasks.recipe import load_recipe
from tasks.settings import REPOSITORY

SOURCES = sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "tasks").rglob("*.py"))
FORMATS = sorted(path.parent.name for path in (REPOSITORY / "tasks" / "formats").glob("*/target.py"))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    code_closure.clear_caches()
    yield
    code_closure.clear_caches()


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def files_of(definition: TaskDefinition) -> tuple[str, ...]:
    return closure((definition.function, *definition.roots))


def demo_definitions() -> list[TaskDefinition]:
    targets = load_recipe(REPOSITORY / "dags" / "recipes" / "demo.yaml").targets
    by_format = {target.format: target for target in targets}
    made = [
        find_definition(task, {"target": target.model_dump(mode="json")})
        for task in OF_TARGET
        for target in by_format.values()
    ]
    return [*FIXED.values(), *made]


DEMO = demo_definitions()


def format_of(definition: TaskDefinition) -> str | None:
    """Return the format whose folder a definition's entry points name."""
    named = " ".join((definition.function, *definition.roots))
    return next((name for name in FORMATS if f"tasks.formats.{name}." in named), None)


def identity(definition: TaskDefinition) -> str:
    return f"{definition.name}-{format_of(definition) or 'any'}"


@pytest.mark.parametrize("definition", DEMO, ids=identity)
def test_a_task_of_the_demo_recipe_is_covered(definition: TaskDefinition) -> None:
    files = files_of(definition)
    assert f"{definition.function.partition(':')[0].replace('.', '/')}.py" in files
    for root in definition.roots:
        assert f"{root.partition(':')[0].replace('.', '/')}.py" in files
    assert list(files) == sorted(set(files)) and set(files) <= set(SOURCES)


@pytest.mark.parametrize("definition", DEMO, ids=identity)
def test_no_task_depends_on_the_code_of_another_format(definition: TaskDefinition) -> None:
    own = format_of(definition)
    others = [name for name in FORMATS if name != own]
    foreign = [file for file in files_of(definition) for name in others if file.startswith(f"tasks/formats/{name}/")]
    assert foreign == []


def find(task: str, format: str | None = None) -> TaskDefinition:
    return next(one for one in DEMO if one.name == task and format_of(one) == format)


@pytest.mark.parametrize(
    ("task", "format", "files"),
    [
        ("convert", "gguf", ["checkpoint/snapshot.py", "formats/gguf/hf_to_gguf.py", "engines/mlmodel.py"]),
        ("convert", "gguf", ["engines/llama_cpp/serving.py", "engines/text_model.py"]),
        ("convert", "onnx", ["engines/onnxruntime/serving.py", "engines/text_model.py"]),
        ("convert", "onnx", ["formats/onnx/export_check.py"]),
        ("convert", "safetensors", ["engines/transformers/serving.py", "engines/text_model.py"]),
        ("convert", "safetensors", ["checkpoint/tensors.py", "checkpoint/headers.py", "checkpoint/companions.py"]),
        ("evaluate", "gguf", ["engines/llama_cpp/serving.py", "formats/gguf/inspect.py", "evaluation/parity.py"]),
        ("evaluate", "onnx", ["engines/onnxruntime/serving.py", "formats/onnx/inspect.py"]),
        ("benchmark", "safetensors", ["engines/transformers/serving.py", "formats/safetensors/inspect.py"]),
        ("scan", None, ["source/checks/render_template.py", "source/checks/load_tokenizer.py"]),
        ("scan", None, ["checkpoint/pickles.py", "source/checks/values.py"]),
        ("analyze", None, ["checkpoint/analysis.py", "checkpoint/tokenizer_kind.py", "checkpoint/embedding.py"]),
        ("fetch", None, ["source/selection.py", "checkpoint/companions.py"]),
        ("reference", None, ["evaluation/source_model.py", "checkpoint/parity_texts.py"]),
        ("gate", None, ["gates/rules.py"]),
    ],
)  # fmt: skip
def test_code_that_decides_the_output_is_covered(task: str, format: str | None, files: list[str]) -> None:
    assert {f"tasks/{file}" for file in files} <= set(files_of(find(task, format)))


def test_timing_does_not_depend_on_how_text_is_compared() -> None:
    assert "tasks/evaluation/parity.py" not in files_of(find("benchmark", "gguf"))


def test_a_change_of_covered_code_changes_the_digest(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    convert = find("convert", "gguf")
    roots = (convert.function, *convert.roots)

    def digest() -> str:
        code_closure.clear_caches()
        return closure_digest(roots, tmp_path)

    before = digest()
    assert before == closure_digest(roots), "where the repository lies does not matter"
    for file in ("tasks/checkpoint/snapshot.py", "tasks/engines/text_model.py", "tasks/formats/gguf/hf_to_gguf.py"):
        original = (tmp_path / file).read_text()
        (tmp_path / file).write_text(original + "# changed\n")
        assert digest() != before, file
        (tmp_path / file).write_text(original)
        assert digest() == before
    for file in ("tasks/errors.py", "tasks/formats/onnx/convert.py", "tasks/evaluation/parity.py"):
        (tmp_path / file).write_text((tmp_path / file).read_text() + "# changed\n")
        assert digest() == before, file


def test_every_process_gets_the_same_digest() -> None:
    convert = find("convert", "gguf")
    roots = (convert.function, *convert.roots)
    program = f"from tasks.code_closure import closure_digest; print(closure_digest({roots!r}))"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env={"PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert said == {closure_digest(roots)}


def test_only_the_standard_library_is_needed() -> None:
    program = "import sys; import tasks.code_closure; print(*(n.partition('.')[0] for n in sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) - sys.stdlib_module_names <= {"tasks", "__main__", "__mp_main__"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import ours.tool", ["ours/tool.py"]),
        ("import json, ours.tool as t", ["ours/tool.py"]),
        ("from ours import tool", ["ours/tool.py"]),
        ("from ours.tool import something", ["ours/tool.py"]),
        ("from ours import (\n    other,  # why\n    tool,\n)", ["ours/other.py", "ours/tool.py"]),
        ("from ours import \\\n    tool", ["ours/tool.py"]),
        ("from . import tool", ["ours/tool.py"]),
        ("from .deep.far import x", ["ours/deep/far.py", "ours/tool.py"]),
        ("def f():\n    from ours.tool import x", ["ours/tool.py"]),
        ("class A:\n    def f(self):\n        with x:\n            import ours.tool", ["ours/tool.py"]),
        ("if x: import ours.tool", ["ours/tool.py"]),
        ("x = 1; import ours.tool", ["ours/tool.py"]),
        ("match x:\n    case 1:\n        import ours.tool", ["ours/tool.py"]),
        ("try:\n    pass\nexcept E:\n    import ours.tool", ["ours/tool.py"]),
        ("while x:\n    pass\nelse:\n    import ours.tool", ["ours/tool.py"]),
        ("S = Path(__file__).with_name('other.py')", ["ours/other.py"]),
        ('S = Path(__file__).parent / "absent.py"', []),
        ("import json, numpy, nothing.ours.tool", []),
        ("# import ours.tool", []),
        ("FORMATS = {'x': 'ours.tool:X'}", []),
        ('"""Read the import\nstatement of ours.tool."""', []),
    ],
)  # fmt: skip
def test_imports_are_found_wherever_they_stand(tmp_path: Path, text: str, found: list[str]) -> None:
    write(
        tmp_path,
        {
            "ours/__init__.py": '"""A package."""\n',
            "ours/deep/__init__.py": "",
            "ours/deep/far.py": "from ..tool import x\n",
            "ours/entry.py": text,
            "ours/tool.py": "",
            "ours/other.py": "",
        },
    )
    assert closure(("ours.entry:run",), tmp_path) == tuple(sorted(["ours/entry.py", *found]))


def test_a_package_that_runs_code_is_covered(tmp_path: Path) -> None:
    write(tmp_path, {"ours/__init__.py": "import ours.hidden\n", "ours/hidden.py": "", "ours/entry.py": ""})
    assert closure(("ours.entry",), tmp_path) == ("ours/__init__.py", "ours/entry.py", "ours/hidden.py")


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    write(tmp_path, {"ours/a.py": "import ours.b", "ours/b.py": "def f():\n    import ours.a"})
    assert closure(("ours.a",), tmp_path) == ("ours/a.py", "ours/b.py")


def test_a_root_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"The module no\.such does not exist; correct the TaskDefinition"):
        closure(("no.such:function",))


def test_reading_only_import_statements_finds_what_the_whole_syntax_tree_holds() -> None:
    for file in SOURCES:
        raw, package = (REPOSITORY / file).read_bytes(), file.split("/")[:-1]
        whole = {name for node in ast.walk(ast.parse(raw)) for name in code_closure._imported(node, package)}
        tree = code_closure._parse(raw)
        quick = {name for node in code_closure._statements(tree) for name in code_closure._imported(node, package)}
        assert quick == whole, file


@pytest.mark.parametrize("pattern", LEFT_OUT)
def test_what_is_left_out_exists_and_has_a_reason(pattern: str) -> None:
    assert any(fnmatchcase(file, pattern) for file in SOURCES)
    assert LEFT_OUT[pattern].endswith(".")


def test_parameters_hold_types_only() -> None:
    for file in SOURCES:
        if file.endswith("/parameters.py"):
            body = ast.parse((REPOSITORY / file).read_bytes()).body
            assert not any(isinstance(node, ast.FunctionDef) for node in body), file


def test_scripts_that_are_run_by_path_are_covered_by_somebody() -> None:
    """A file that begins as a program is no module that anything imports."""
    scripts = {
        file
        for file in SOURCES
        if 'if __name__ == "__main__":' in (REPOSITORY / file).read_text()
        and not any(fnmatchcase(file, pattern) for pattern in (*LEFT_OUT, "*/__main__.py"))
    }
    assert scripts
    assert scripts <= {file for definition in DEMO for file in files_of(definition)}
