"""DAG files are parsed again and again: their imports are light, and a wrong recipe leaves the others alone."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tasks.runtimes import environments, runtime
from tasks.settings import REPOSITORY

# One process parses for all of these tests.
pytestmark = pytest.mark.xdist_group("parsing")

HEAVY = {"torch", "transformers", "onnx", "onnxruntime", "llama_cpp", "boto3", "mlflow", "huggingface_hub"}

WRONG = ["release_wrong", "release_de-mo", "release_gone", "release_folder", f"release_{'n' * 200}"]

PARSE = """
import json, sys, time
import airflow.sdk, airflow.providers.standard.operators.trigger_dagrun
before = set(sys.modules)
began = time.process_time()
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
seconds = time.process_time() - began
dags = {name: sorted(dag.task_ids) for name, dag in bag.dags.items()}
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
with _airflow_parsing_context_manager(dag_id="release_demo", task_id="pin"):
    of_a_task = sorted(DagBag(sys.argv[1]).dags)
print(json.dumps({"errors": bag.import_errors, "dags": dags, "of_a_task": of_a_task, "seconds": seconds,
                  "modules": sorted(sys.modules), "ours": sorted(set(sys.modules) - before)}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Our DAG files, and wrong recipes beside ours, parsed as Airflow does it: in the control runtime."""
    folder = tmp_path_factory.mktemp("parsed")
    shutil.copytree(REPOSITORY / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    recipes = folder / "dags" / "recipes"
    (recipes / "wrong.yaml").write_text((recipes / "demo.yaml").read_text().replace("gguf-q4_k_m", "gguf-q4_k_x", 1))
    (recipes / "de~mo.yaml").write_text("licences: []")
    (recipes / "gone.yaml").symlink_to("nowhere")
    (recipes / ".#demo.yaml").symlink_to("an-editors-lock")
    (recipes / "folder.yaml").mkdir()
    (recipes / f"{'n' * 250}.yaml").touch()
    done = subprocess.run(
        [runtime("control").python, "-c", PARSE, folder / "dags"],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HALLMARK_ENVS": str(environments()),
            "HALLMARK_HOME": str(folder / "state"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_every_recipe_gives_a_dag(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    recipes = {path.stem for path in (REPOSITORY / "dags" / "recipes").glob("*.yaml")}
    assert {f"release_{name}" for name in recipes} <= set(parsed["dags"])
    assert all(len(tasks) > 10 for name, tasks in parsed["dags"].items() if name[8:] in recipes)


def test_a_tasks_process_makes_its_own_dag_alone(parsed: dict[str, Any]) -> None:
    """Of the recipes: what cannot be read says so everywhere."""
    assert parsed["of_a_task"] == ["housekeeping", *sorted({"release_demo", "watch_demo", *WRONG})]


def test_the_store_is_swept_by_a_dag_of_its_own(parsed: dict[str, Any]) -> None:
    assert parsed["dags"]["housekeeping"] == ["sweep"]


def test_parsing_imports_nothing_heavy(parsed: dict[str, Any]) -> None:
    roots = {name.partition(".")[0] for name in parsed["modules"]}
    assert not roots & HEAVY
    # Airflow may have it loaded itself; that our files do not is what counts.
    assert "numpy" not in {name.partition(".")[0] for name in parsed["ours"]}


def test_parsing_is_quick(parsed: dict[str, Any], record_property: Any) -> None:
    record_property("parse_seconds", parsed["seconds"])
    # Airflow gives up at 30 s; on an idle core it takes a third of one.
    assert parsed["seconds"] < 5


def test_a_wrong_recipe_has_a_dag_that_says_why_and_the_others_have_theirs(parsed: dict[str, Any]) -> None:
    assert all(parsed["dags"][name] == ["invalid_recipe"] for name in WRONG)
    assert not [name for name in parsed["dags"] if "#" in name or name.startswith("release_-")], "an editor's lock"
    assert len(parsed["dags"]["release_demo"]) > 10
