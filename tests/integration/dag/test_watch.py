"""The DAG that watches models, in Airflow: what an earlier look triggered is known, and is not triggered again."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tests.integration.dag.conftest import HERE, airflow_environment

pytestmark = pytest.mark.stack

BUNDLE = HERE / "watch_bundle"
ONE, TWO = "1" * 40, "2" * 40


def test_a_commit_is_triggered_again_only_when_its_release_has_ended(airflow_home: Path, tmp_path: Path) -> None:
    shutil.copytree(airflow_home, tmp_path / "airflow")
    environment = airflow_environment(tmp_path / "airflow", BUNDLE) | {
        "HALLMARK_HOME": str(tmp_path),
        "HALLMARK_STORE": f"file://{tmp_path}/store",
        "HALLMARK_TEST_RECIPE": str(REPOSITORY / HERE / "small.yaml"),
    }
    results = tmp_path / "results.json"
    done = subprocess.run(
        [runtime("control").python, "-P", HERE / "look.py", BUNDLE, results, ONE, ONE, "end", ONE, ONE, TWO, TWO],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    looks = json.loads(results.read_text())
    assert [look["states"]["compare"] for look in looks] == ["success", "skipped"] * 3
    assert [look["states"]["release"] for look in looks] == ["success", "skipped"] * 3
    assert list(looks[-1]["runs"].values()) == [ONE, ONE, TWO]
