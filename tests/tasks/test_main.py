"""The command by which every task is run: what it exits with, what it writes where, and what it leaves when ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tasks.contract import Result, Spec
from tasks.settings import REPOSITORY

WITH_PROBE = """
import sys
from tasks import definitions
from tests.tasks.probe import KEYED
definitions.FIXED["probe"] = KEYED
definitions.TASK_NAMES.append("probe")
from tasks.__main__ import main
sys.exit(main())
"""


SECRETS = {
    "AWS_ACCESS_KEY_ID": "account:planted-key",
    "AWS_SECRET_ACCESS_KEY": "planted-store",
    "HF_TOKEN": "hf_planted/+=",
    "MLFLOW_TRACKING_PASSWORD": "planted-registry",
}


def start(
    folder: Path, spec: Spec, *arguments: str, name: str | None = None, secrets: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    file = folder / "spec.json"
    file.write_text(spec.to_json())
    return subprocess.Popen(
        [sys.executable, "-c", WITH_PROBE, name or spec.task, file, *arguments],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "HALLMARK_HOME": str(folder / "state"),
            "HALLMARK_STORE": f"file://{folder}/store",
            **(secrets or {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, do: str, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, Spec(task="probe", parameters={"do": do}), *arguments)
    told, said = process.communicate(timeout=60)
    return process.returncode, told, said


def test_a_result_goes_to_standard_output_and_nothing_else_does(tmp_path: Path) -> None:
    status, told, _ = run(tmp_path, "finish")
    assert status == 0
    assert Result.from_json(told).facts["length"] == 4


def test_a_result_goes_to_a_file_where_one_is_named(tmp_path: Path) -> None:
    status, told, _ = run(tmp_path, "finish", "--result", str(tmp_path / "result.json"))
    assert (status, told) == (0, "")
    assert Result.from_json((tmp_path / "result.json").read_text()).artifact
    assert not list(tmp_path.glob(".result*"))


@pytest.mark.parametrize(
    ("do", "status", "kind", "error"),
    [("corrupt", 65, "terminal", "Corrupt"), ("away", 75, "transient", "HubUnavailable")],
)
def test_a_failure_is_one_sentence_and_says_whether_a_retry_helps(
    tmp_path: Path, do: str, status: int, kind: str, error: str
) -> None:
    ended, told, said = run(tmp_path, do)
    assert ended == status
    failure = Result.from_json(told).failure
    assert failure and (failure.kind, failure.error) == (kind, error)
    assert said.strip() == f"{error}: {failure.message}"


def test_a_library_that_logs_everything_does_not_bury_what_matters(tmp_path: Path) -> None:
    status, _, said = run(tmp_path, "log")
    assert (status, said.strip()) == (0, "library: what matters")


def test_a_bug_shows_its_traceback_and_writes_no_result(tmp_path: Path) -> None:
    status, told, said = run(tmp_path, "bug", "--result", str(tmp_path / "result.json"))
    assert (status, told) == (1, "") and "RuntimeError: planted bug" in said
    assert not (tmp_path / "result.json").exists()


def test_a_store_that_is_away_may_be_back_later(tmp_path: Path) -> None:
    assert run(tmp_path, "finish")[0] == 0
    (tmp_path / "store").rename(tmp_path / "mounted elsewhere")
    (tmp_path / "store").mkdir()
    status, told, _ = run(tmp_path, "finish")
    failure = Result.from_json(told).failure
    assert status == 75 and failure and failure.error == "StoreUnavailable"


@pytest.mark.parametrize(
    ("spec", "name", "said"),
    [
        ("{}", "probe", "is not a valid spec: 'task' is missing"),
        ("no json", "probe", "is not a valid spec"),
        ('{"task": "probe", "secret": 1}', "probe", "secret"),
        ('{"task": "text"}', "probe", "is a spec for the task 'text', not 'probe'"),
        ('{"task": "nothing"}', "nothing", "invalid choice: 'nothing'"),
    ],
)
def test_a_wrong_call_is_explained(tmp_path: Path, spec: str, name: str, said: str) -> None:
    file = tmp_path / "spec.json"
    file.write_text(spec)
    done = subprocess.run(
        [sys.executable, "-c", WITH_PROBE, name, file], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and said in done.stderr


def test_a_bug_leaves_no_note_of_what_an_engine_did_before(tmp_path: Path) -> None:
    """Whoever reads the note would take it for the place of the bug."""
    assert run(tmp_path, "bug", "--result", str(tmp_path / "result.json"))[0] == 1
    assert not (tmp_path / "at_work.txt").exists()


def test_a_task_that_is_ended_cleans_up_and_reports_the_signal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start(tmp_path, Spec(task="probe", parameters={"do": "wait", "log": str(log)}))
    end = time.monotonic() + 30
    while not (tmp_path / "state" / "scratch").exists() or not list((tmp_path / "state" / "scratch").glob("*/*/*")):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert list((tmp_path / "state" / "scratch").iterdir()) == []


def test_what_a_killed_task_left_is_swept_by_the_next(tmp_path: Path) -> None:
    status, _, _ = run(tmp_path, "killed")
    assert status == -signal.SIGKILL
    assert list((tmp_path / "state" / "scratch").iterdir())
    assert run(tmp_path, "finish")[0] == 0
    assert list((tmp_path / "state" / "scratch").iterdir()) == []


def test_once_the_store_is_open_neither_the_process_nor_a_child_finds_a_secret(tmp_path: Path) -> None:
    process = start(tmp_path, Spec(task="probe", parameters={"do": "environment"}), secrets=SECRETS)
    told, said = process.communicate(timeout=60)
    facts = Result.from_json(told).facts
    assert "PATH" in facts["own"] and "PATH" in facts["childs"], said
    assert not {*SECRETS} & {*facts["own"], *facts["childs"]}


@pytest.mark.parametrize("do", ["quote", "report"])
def test_a_message_that_quotes_a_secret_is_masked_wherever_it_goes(tmp_path: Path, do: str) -> None:
    result = tmp_path / "result.json"
    process = start(tmp_path, Spec(task="probe", parameters={"do": do}), "--result", str(result), secrets=SECRETS)
    told, said = process.communicate(timeout=60)
    written = result.read_text() if do == "report" else ""
    # Printed, and told as the failure or in the traceback of a bug.
    assert said.count("401 for http://user:***@h") == 2
    assert ("401 for http://user:***@h" in written) == (do == "report")
    assert "hf_planted" not in told + said + written
