"""The example of docs/add-a-format.md, added as the page says, is parsed, keyed, linted and rendered."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tasks.formats.gguf import quantizations
from tasks.formats.gguf.tensor_types import TENSOR_TYPES
from tasks.gates.verdict import Rule
from tasks.runtime_declaration import read_declaration
from tasks.runtimes import environments
from tasks.settings import REPOSITORY
from tests.fixtures.page_example import blocks, example_files, example_tree
from tests.matrix.cases import CASES, Case

READ = """
import sys
from pathlib import Path
from tasks.code_closure import closure
from tasks.definitions import find_definition
from tasks.engines.widened.engine import ENGINE
from tasks.formats.registry import load_format
from tasks.recipe import load_recipe

recipe = load_recipe(Path("dags/recipes/try_it.yaml"))
assert recipe.target_names == ["fp16-checkpoint", "fp16-norms"], recipe.target_names
assert [target.options for target in recipe.targets] == [{"keep_norms": False}, {"keep_norms": True}]
given = {"target": recipe.targets[0].model_dump(mode="json")}
made, measured = (find_definition(name, given) for name in ("convert", "evaluate"))
assert measured.runtime == "torch"
files = closure((made.function, *made.roots))
assert {"tasks/formats/fp16/convert.py", "tasks/engines/transformers/serving.py"} <= set(files), files
assert ENGINE.serving_file.is_file()
assert ENGINE.usage("folder", ["model.safetensors"], {}, "Once", None)[0].lines
heavy = {"torch", "transformers", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""


METRIC = """
import numpy as np
from tasks.evaluation.confidence import intervals
from tasks.evaluation.metrics import FIDELITY_METRICS
from tasks.evaluation.window_scores import WindowScores

kld = np.arange(4000.0).reshape(40, 100)
scores = WindowScores(kld, kld * 0, kld * 0, kld * 0)
assert "kld_p95" in FIDELITY_METRICS
assert abs(scores.measurements()["kld_p95"].value - 3800) < 2
found = intervals(scores, 0.05)["kld_p95"]
assert found.low < 3800
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_tree(tmp_path_factory.mktemp("example") / "tree")


def test_the_example_is_parsed_and_keyed_without_a_heavy_import(tree: Path) -> None:
    done = subprocess.run([sys.executable, "-c", READ], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_example_is_formatted_and_linted_as_the_tree_is(tree: Path) -> None:
    ruff = environments() / "dev" / "bin" / "ruff"
    files = list(example_files())
    for command in (["format", "--check", "--diff"], ["check"]):
        done = subprocess.run([ruff, *command, *files], cwd=tree, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_metric_is_measured(tmp_path: Path) -> None:
    (lines,) = [text for kind, text in blocks() if kind == "python" and "kld_p95" in text]
    shutil.copytree(REPOSITORY / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    for line in lines.splitlines():
        added, _, place = line.partition("  # in ")
        file, _, anchor = place.partition(", below ")
        path = tmp_path / "tasks" / "evaluation" / file
        text = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (above,) = [number for number, old in enumerate(text) if old.lstrip().startswith(f"{anchor}:")]
        path.write_text("".join([*text[: above + 1], f"{added}\n", *text[above + 1 :]]), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", METRIC], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_declaration_of_a_runtime_is_one(tmp_path: Path) -> None:
    (declaration,) = [text for kind, text in blocks() if kind == "toml" and "install" in text]
    (tmp_path / "mine.toml").write_text(declaration, encoding="utf-8")
    assert read_declaration("mine", tmp_path).tests
    assert tomllib.loads(declaration)["install"] == "setup"


def test_the_gate_is_one() -> None:
    (gates,) = [text for kind, text in blocks() if kind == "yaml" and text.startswith("gates:")]
    (rule,) = (Rule.model_validate(entry) for entry in yaml.safe_load(gates)["gates"])
    assert rule.maximum == 8e6


def test_the_quantization_that_is_added_has_known_types() -> None:
    (line,) = [text for kind, text in blocks() if kind == "python" and "needs_imatrix" in text]
    ((name, added),) = eval(f"{{{line.strip()}}}", vars(quantizations)).items()
    assert isinstance(added, quantizations.Quantization)
    assert isinstance(added.file_type, int) and 2 < added.bits < 8 and not added.needs_imatrix
    assert {name, *added.types} <= {known.name for known in TENSOR_TYPES.values()}
    assert added.file_type not in {known.file_type for known in quantizations.QUANTIZATIONS.values()}


def test_the_row_of_the_matrix_is_one() -> None:
    (row,) = [text for kind, text in blocks() if kind == "toml" and "[[case]]" in text]
    table = tomllib.loads(CASES.read_text(encoding="utf-8"))
    (added,) = tomllib.loads(row)["case"]
    case = Case(**added)
    assert case.arch in table["architectures"] and case.engine in {known["engine"] for known in table["case"]}
