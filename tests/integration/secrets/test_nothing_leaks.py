"""After a release, a dry run with a Hub token and one with a wrong token: no secret is where it should not be.

The secrets are the stack's own, made at random when it was started, and a token that is planted as a person would set
one: as the password of the connection to the Hub. `MLFLOW_TRACKING_PASSWORD` has no place here, for the laptop's MLflow
asks for none; `tests/integration/dag/test_secrets.py` plants one.
"""

import json
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local.airflow_api import AirflowApi
from deploy.local.demo import DEMO_MODEL
from operators.credentials import INHERITED
from tasks.definitions import FIXED, OF_TARGET
from tasks.host.tools import PASSED_ON
from tasks.settings import REPOSITORY
from tests.fixtures.process_watch import Seen, Watch, watching
from tests.fixtures.released import ReleasedStack
from tests.fixtures.secret_search import Allowed, Search, not_allowed
from tests.fixtures.servers import HubMirror
from tests.integration.test_whole_release import run_to_end

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

DAG = "release_demo"
OF_OTHER_DAGS = {"roll_back", "sweep"}
STORE_KEYS = frozenset({"s3_access_key", "s3_secret_key"})
AIRFLOWS = frozenset({"airflow_jwt_secret", "airflow_api_secret", "airflow_fernet_key"})
PASSWORD = frozenset({"airflow_password"})

ALLOWED = [
    Allowed("stack/credentials.json", STORE_KEYS | AIRFLOWS | PASSWORD, "where the installation keeps them"),
    Allowed("stack/supervisord.conf", STORE_KEYS | AIRFLOWS, "each component's environment, and no other's"),
    Allowed("stack/airflow/passwords.json", PASSWORD, "Airflow reads its users' passwords from a file"),
]

ALWAYS_GIVEN = {
    *INHERITED,
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
    "HF_HUB_DISABLE_XET",
    "HF_HUB_DISABLE_TELEMETRY",
    "LLAMA_CPP_LIB_PATH",
}
STORE_GIVEN = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL_S3",
    "AWS_DEFAULT_REGION",
    "MLFLOW_S3_ENDPOINT_URL",
}
TOOL_GIVEN = {*PASSED_ON, "HOME", "PYTHONUNBUFFERED"}


@dataclass(frozen=True)
class Used:
    """A stack that was used with a token: its secrets by name, what its processes were, and the runs' ids."""

    released: ReleasedStack
    secrets: Mapping[str, str]
    watch: Watch
    runs: tuple[str, ...]


@pytest.fixture(scope="module")
def used(released_stack: ReleasedStack, hub_mirror_server: HubMirror) -> Iterator[Used]:
    """The released stack after a dry run of a private model and one with a token that the Hub does not know."""
    stack, token = released_stack.stack, f"hf_{secrets.token_urlsafe(24)}"
    demo = REPOSITORY / "deploy" / "demo" / "hub" / DEMO_MODEL
    for name, tokens in (("granted", [token]), ("refused", ["hf_another"])):
        files = {path.name: path for path in demo.iterdir() if path.is_file()}
        hub_mirror_server.add(f"acme/{name}", files, access={"private": True, "tokens": tokens})
    with stack.airflow() as airflow, watching(stack.leader()) as watch:
        airflow.set_connection("hallmark_hub", "http", hub_mirror_server.url, token)
        granted = run_to_end(airflow, DAG, {"model": "acme/granted", "dry_run": True})
        refused = run_to_end(airflow, DAG, {"model": "acme/refused", "dry_run": True})
        assert (granted.state, refused.state) == ("success", "failed")
        said = airflow.xcom(DAG, refused.dag_run_id, "pin", key="failure")
        assert "may not read it" in said, "the token was sent"
    yield Used(
        released_stack,
        {**stack.credentials().model_dump(), "hub_token": token},
        watch,
        (granted.dag_run_id, refused.dag_run_id),
    )
    with stack.airflow() as airflow:
        airflow.set_connection("hallmark_hub", "http", stack.address("hub"), None)


def test_no_file_of_the_stack_holds_a_secret_but_those_that_must(used: Used) -> None:
    """Logs, job folders, databases, objects, reports, manifests, caches: all that lies below HALLMARK_HOME."""
    home = used.released.stack.home
    leaks = Search(used.secrets).folder(home)
    assert not_allowed(leaks, ALLOWED) == []
    for place in ALLOWED:
        assert place.secrets <= {leak.secret for leak in leaks if leak.place == place.place}, place
        assert stat.S_IMODE((home / place.place).stat().st_mode) == 0o600, place
    searched = {path.relative_to(home).parts[0] for path in home.rglob("*") if path.is_file()}
    assert searched >= {"stack", "jobs", "cache"}


def test_no_argument_of_any_process_holds_a_secret(used: Used) -> None:
    seen = used.released.watch.seen | used.watch.seen
    shown = "\n".join(" ".join(process.arguments) for process in seen)
    assert all(
        name in shown for name in ("supervisord", "airflow", "mlflow", "s3_server", "-m tasks convert", "quantize")
    )
    assert Search(used.secrets).text(shown, "arguments") == []


def test_each_tasks_process_is_given_what_its_definition_names(used: Used) -> None:
    tasks = {**used.released.watch.tasks()}
    for name, processes in used.watch.tasks().items():
        tasks[name] = [*tasks.get(name, ()), *processes]
    assert tasks.keys() >= {*FIXED, *OF_TARGET} - OF_OTHER_DAGS, "each kind of a release was seen"
    for name, processes in tasks.items():
        access = FIXED[name].access if name in FIXED else ()
        allowed = ALWAYS_GIVEN | STORE_GIVEN
        allowed |= {"HF_ENDPOINT", "HF_TOKEN"} if "hub" in access else {"HF_HUB_OFFLINE"}
        allowed |= {"MLFLOW_TRACKING_URI"} if "registry" in access else set()
        for process in processes:
            assert process.variables.keys() <= allowed, name
            assert held(process, used.secrets) <= STORE_KEYS | ({"hub_token"} if "hub" in access else set()), name
    given = {name for name, processes in tasks.items() for process in processes if "HF_TOKEN" in process.variables}
    assert given == {"pin", "fetch"}


def test_foreign_tools_are_given_nothing(used: Used) -> None:
    tools = [process for process in used.released.watch.tools() if is_foreign(process)]
    named = " ".join(word for process in tools for word in process.arguments)
    assert "llama-quantize" in named and "llama-imatrix" in named and "hf_to_gguf" in named
    for process in used.released.watch.tools():
        assert held(process, used.secrets) == set(), process.arguments
    for process in tools:
        extra = process.variables.keys() - TOOL_GIVEN
        assert not [name for name in extra if name.startswith(("AWS", "HF_TOKEN", "MLFLOW", "AIRFLOW"))], process


def is_foreign(process: Seen) -> bool:
    """A tool of the converters', not the short-lived helpers by which Python finds out about its machine."""
    return any(word in " ".join(process.arguments) for word in ("llama-", "hf_to_gguf"))


def held(process: Seen, known: Mapping[str, str]) -> set[str]:
    return {leak.secret for leak in Search(known).text("\n".join(process.environment), "environment")}


def test_airflows_answers_hold_no_secret(used: Used) -> None:
    """Connections, variables, runs, tasks with their rendered fields, what they told, their logs, and the audit log."""
    with used.released.stack.airflow() as airflow:
        told = dict(answers(airflow, used.runs))
    assert "***" in told["/api/v2/connections"], "the token's connection is shown, masked"
    leaks = [leak for place, text in told.items() for leak in Search(used.secrets).text(text, place)]
    assert leaks == []


def answers(airflow: AirflowApi, runs: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    paths = ["/api/v2/connections", "/api/v2/variables", "/api/v2/importErrors", f"/api/v2/dags/{DAG}/details"]
    paths += ["/api/v2/eventLogs?limit=100&order_by=-event_log_id", f"/api/v2/dags/{DAG}/dagRuns?order_by=-id"]
    for run in runs:
        tasks = f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances"
        paths += [tasks, f"{tasks}/~/xcomEntries"]
        for task in airflow.task_instances(DAG, run):
            if task.state in ("success", "failed") and task.try_number:
                paths.append(f"{tasks}/{task.task_id}/logs/{task.try_number}?full_content=true")
                paths += [f"{tasks}/{task.task_id}/xcomEntries/{key}" for key in xcoms(airflow, tasks, task.task_id)]
    for path in paths:
        yield path, json.dumps(airflow._send("GET", path))


def xcoms(airflow: AirflowApi, tasks: str, task: str) -> list[str]:
    rows: Any = airflow._send("GET", f"{tasks}/{task}/xcomEntries")["xcom_entries"]
    return [row["key"] for row in rows]


def test_what_the_demo_printed_holds_no_secret(used: Used) -> None:
    assert Search(used.secrets).text(used.released.output, "output") == []
    assert "password in" in used.released.output
