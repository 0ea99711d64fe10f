"""The whole product with its store in a folder, by the one setting, and with a recipe of the user's own.

No S3 server runs. The watcher, switched on, makes the first release, which is served. Then it finds nothing new, until
there is a new commit.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.airflow_api import AirflowApi, DagRun
from deploy.local.demo import DEMO_MODEL
from tasks.contract import PROVISIONAL
from tasks.release.current import last_released_commit
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tasks.store.local import LocalStore
from tests.fixtures.stack import RunningStack, stack_in
from tests.integration.test_whole_release import (
    NEVER_REUSED,
    RUN_SECONDS,
    job_folders,
    run_to_end,
    started,
    states,
    wait,
)

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

RECIPE, TARGET = "mine", "gguf-q8_0"
RELEASE, WATCH = f"release_{RECIPE}", f"watch_{RECIPE}"
GROUP = DEMO_MODEL.replace("/", "--")
DEMO = REPOSITORY / "deploy" / "demo" / "hub" / DEMO_MODEL

LOAD = """
import json, sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(pandas.DataFrame({"prompt": ["Once"]})).to_dict("list")))
"""


@dataclass(frozen=True)
class Watched:
    """The stack after the watcher's first release; `told` is what `register` told of it."""

    stack: RunningStack
    told: dict[str, Any]

    @property
    def store(self) -> LocalStore:
        """The stack's own."""
        return LocalStore(self.stack.home / "store")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product as a user has it, with one recipe: one target, on little text, and watched."""
    tree = tmp_path_factory.mktemp("tree")
    for part in ("tasks", "operators", "dags", "deploy"):
        shutil.copytree(REPOSITORY / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / ".airflowignore", tree)
    for path in (tree / "dags" / "recipes").glob("*.yaml"):
        path.unlink()
    small = yaml.safe_load((REPOSITORY / "tests" / "integration" / "dag" / "small.yaml").read_text())
    small |= {"models": [DEMO_MODEL], "schedule": "@daily", "targets": [TARGET]}
    (tree / "dags" / "recipes" / f"{RECIPE}.yaml").write_text(yaml.safe_dump(small))
    return tree


@pytest.fixture(scope="module")
def watched(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The stack of that tree, up, with the release that the watcher makes by itself when it is switched on."""
    with stack_in(tmp_path_factory.mktemp("state"), "folder", tree) as stack:
        with stack.airflow() as airflow:
            airflow.wait_for_dag(RELEASE)
            airflow.wait_for_dag(WATCH)
            told = released(airflow, newest(airflow, RELEASE))
        yield Watched(stack, told)


def newest(airflow: AirflowApi, dag_id: str) -> DagRun:
    """Return the newest run of a DAG as soon as it has one."""
    end = time.monotonic() + RUN_SECONDS
    while not (runs := airflow.runs(dag_id)):
        assert time.monotonic() < end, f"{dag_id} was never run"
        time.sleep(0.5)
    return runs[0]


def released(airflow: AirflowApi, run: DagRun) -> dict[str, Any]:
    """Wait for a release, and return what `register` told."""
    ended = wait(airflow, RELEASE, run.dag_run_id)
    assert ended.state == "success", airflow.task_log(RELEASE, run.dag_run_id, "conclude")
    told: dict[str, Any] = airflow.xcom(RELEASE, run.dag_run_id, "register")["facts"]
    return told


def test_no_s3_server_runs(watched: Watched) -> None:
    shown = watched.stack.command("status").stdout
    running = {line.split()[0] for line in shown.splitlines() if line.strip()}
    assert "mlflow" in running and "s3" not in running


def test_what_is_released_is_served_without_any_key(watched: Watched, tmp_path: Path) -> None:
    assert watched.told["outcomes"] == {TARGET: "passed"}
    (champion,) = watched.told["new_versions"]
    # What `make env` prints is all that a consumer needs, and holds no key.
    environment = watched.stack.environment()
    assert not [name for name in environment if name.startswith("AWS")]
    done = subprocess.run(
        [runtime("consumer").python, "-W", "ignore", "-c", LOAD, f"models:/{champion.partition('/')[0]}@champion"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["text"][0]
    # The version's files are the artifact's, by another name.
    assert len({path.stat().st_ino for path in watched.store.root.rglob("*Q8_0.gguf")}) == 1


def test_the_watcher_releases_a_new_commit_and_only_that(watched: Watched, tmp_path: Path) -> None:
    stack = watched.stack
    with stack.airflow() as airflow:
        quiet = run_to_end(airflow, WATCH, {})
        assert quiet.state == "success"
        assert states(airflow, WATCH, quiet)[f"{GROUP}.release"] == "skipped"
        log = airflow.task_log(WATCH, quiet.dag_run_id, f"{GROUP}.compare")
        assert "nothing new since" in log

        changed = tmp_path / "changed"
        shutil.copytree(DEMO, changed)
        (changed / "README.md").write_text((changed / "README.md").read_text() + "\nA word more.\n")
        commit = stack.command("publish", DEMO_MODEL, str(changed)).stdout.strip()
        before = job_folders(stack)
        moved = run_to_end(airflow, WATCH, {})
        assert states(airflow, WATCH, moved)[f"{GROUP}.release"] == "success"
        triggered = newest(airflow, RELEASE)
        assert triggered.conf == {"model": DEMO_MODEL, "revision": commit}
        # A new README is no new model: nothing was converted or measured, and the artifacts are the same.
        assert released(airflow, triggered)["new_versions"] == []
        first = airflow.runs(RELEASE)[-1]
        timed = airflow.xcom(RELEASE, first.dag_run_id, f"{TARGET}.benchmark")["facts"]
    # A timing that other work on the host disturbed is taken again, in the folder of its job, and judged again.
    again = {"gate"} if PROVISIONAL in timed else set[str]()
    assert started(stack, before) - again == NEVER_REUSED | {"fetch", "scan", "analyze"}
    assert last_released_commit(watched.store, DEMO_MODEL, RECIPE) == commit
