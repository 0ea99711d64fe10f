"""A release through the DAG in one process: the real tasks, Hub mirror, store and MLflow server; no scheduler."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.runtimes import environments, runtime
from tasks.settings import REPOSITORY
from tests.fixtures.by_hand import BESIDE_OTHERS

HERE = Path(__file__).parent.relative_to(REPOSITORY)
BUNDLE = HERE / "bundle"
RUN_SECONDS = 900
"""For several releases; on two idle cores one takes a minute and a half."""


@dataclass(frozen=True)
class Ended:
    """A run that has ended: its state, its tasks' states, what they returned, and what those that failed said."""

    run_id: str
    state: str
    tasks: dict[str, str]
    return_value: dict[str, Any]
    failure: dict[str, str]

    def facts(self, task: str) -> dict[str, Any]:
        """What a task told the next ones."""
        facts: dict[str, Any] = self.return_value[task]["facts"]
        return facts


@dataclass
class DagRunner:
    """Runs the DAG `release_small` with this environment; `home` is Hallmark's state folder, `tree` its source."""

    home: Path
    environment: dict[str, str]
    tree: Path = REPOSITORY

    def of_tree(self, tree: Path) -> "DagRunner":
        """Return the runner of another copy of the product."""
        bundle = json.dumps(_bundle(tree / BUNDLE))
        environment = {
            **self.environment,
            "PYTHONPATH": str(tree),
            "AIRFLOW__CORE__DAGS_FOLDER": str(tree / BUNDLE),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": f"[{bundle}]",
        }
        return DagRunner(self.home, environment, tree)

    def release(self, *configurations: Mapping[str, Any], **variables: str) -> list[Ended]:
        """Run the DAG once for each configuration, with more variables where given."""
        results = self.home / "results.json"
        command = [
            str(runtime("control").python),
            "-P",
            str(self.tree / HERE / "run_dag.py"),
            "release_small",
            str(results),
        ]
        done = subprocess.run(
            [*command, *map(json.dumps, configurations)],
            cwd=self.tree / HERE,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        self.log = done.stdout
        return [Ended(**told) for told in json.loads(results.read_text())]


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh metadata database of Airflow."""
    home = tmp_path_factory.mktemp("airflow")
    done = subprocess.run(
        [runtime("control").python, "-m", "airflow", "db", "migrate"],
        env=airflow_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return home


@pytest.fixture
def dag_runner(tmp_path: Path, airflow_home: Path, hub_mirror: Any) -> DagRunner:
    """Runs a small release; the test says where the store and the registry are."""
    shutil.copytree(airflow_home, tmp_path / "airflow")
    home = tmp_path / "state"
    home.mkdir()
    (home / "settings.toml").write_text(BESIDE_OTHERS)
    environment = airflow_environment(tmp_path / "airflow") | {
        "HALLMARK_HOME": str(home),
        "HALLMARK_ENVS": str(environments()),
        "HALLMARK_TEST_RECIPE": str(REPOSITORY / HERE / "small.yaml"),
        "AIRFLOW_CONN_HALLMARK_HUB": json.dumps({"conn_type": "http", "host": hub_mirror.url}),
    }
    return DagRunner(home, environment)


def _bundle(folder: Path) -> dict[str, Any]:
    return {
        "name": "small",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(folder)},
    }


def airflow_environment(home: Path, bundle: Path = BUNDLE) -> dict[str, str]:
    """Return the variables of an Airflow with its database in `home` and the DAG files of `bundle`."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(REPOSITORY),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / bundle),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_bundle(REPOSITORY / bundle)]),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
