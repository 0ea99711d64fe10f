"""The whole product with its store in a folder, by the one setting: no S3 server runs, and a release is served."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tasks.runtimes import runtime
from tests.fixtures.stack import RunningStack, stack_in

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

DAG = "release_demo"
TARGET = "gguf-q8_0"
RUN_SECONDS = 900

LOAD = """
import json, sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(pandas.DataFrame({"prompt": ["Once"]})).to_dict("list")))
"""


def test_a_release_by_way_of_a_folder(tmp_path: Path) -> None:
    with stack_in(tmp_path, "folder") as stack:
        shown = stack.command("status").stdout
        assert "s3" not in {line.split()[0] for line in shown.splitlines() if line.strip()}
        released = release(stack)
        assert released["outcomes"][TARGET] == "passed"
        (champion,) = released["new_versions"]
        # What `make env` prints is all that a consumer needs, and holds no key.
        environment = stack.environment()
        assert not [name for name in environment if name.startswith("AWS")]
        command = [str(runtime("consumer").python), "-W", "ignore", "-c", LOAD]
        done = subprocess.run(
            [*command, f"models:/{champion.partition('/')[0]}@champion"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout.splitlines()[-1])["text"][0]
    # The version's files are the artifact's, by another name.
    assert len({path.stat().st_ino for path in (tmp_path / "store").rglob("*Q8_0.gguf")}) == 1


def release(stack: RunningStack) -> dict[str, dict[str, str]]:
    """Release one target, and return what the task `register` told."""
    with stack.airflow() as airflow:
        airflow.wait_for_dag(DAG)
        run_id = airflow.trigger(DAG, {"targets": [TARGET]})
        end = time.monotonic() + RUN_SECONDS
        while not (run := airflow.dag_run(DAG, run_id)).finished:
            assert time.monotonic() < end, f"{run_id} did not end within {RUN_SECONDS} s"
            time.sleep(0.5)
        assert run.state == "success", airflow.task_log(DAG, run_id, "conclude")
        told: dict[str, dict[str, str]] = airflow.xcom(DAG, run_id, "register")["facts"]
        return told
