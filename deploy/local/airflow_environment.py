"""Airflow's configuration as environment variables. No airflow.cfg is written or read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.credentials import AIRFLOW_USER, Credentials
from deploy.local.settings import HOST, StackPaths, StackSettings
from tasks.pools import Pool
from tasks.runtimes import tools
from tasks.settings import REPOSITORY, home

HEALTH_SECONDS = 120
"""The oldest heartbeat of a healthy component. Conversions keep both cores of a small machine busy for longer than
Airflow's 30 s, and a scheduler with an old heartbeat loses its own tasks."""

TASK_HEARTBEAT_SECONDS = 60
"""Airflow fails a task after this time without a heartbeat, because its worker was killed. Workers send many within it
and wait for a busy API, so their absence is no accident. Airflow's default, 300 s, delays a run too long."""

HEARTBEAT_SECONDS = 2
"""How often a running task sends a heartbeat. The supervisor of a task looks for the task's end when one of its pipes
is closed, and after that once per heartbeat. On a busy machine the process often outlives its pipes for a moment: five
of ten skipped tasks ended 10 s late with a heartbeat every 10 s."""

FAILED_HEARTBEATS = 15
"""After so many failures the supervisor ends its task. Each was tried five times, a second or more apart, so the API
was away for the minute of TASK_HEARTBEAT_SECONDS. Airflow's default, 3, would not outlast a restart of the API."""

LINGERING_WORKERS = 2
"""Workers beyond one per slot, because a worker is kept for up to one heartbeat after its task has ended. Many more
would not help: SQLite has one writer, and requests that wait for it too long time out."""


def airflow_environment(
    settings: StackSettings, paths: StackPaths, credentials: Credentials, pools: Sequence[Pool], environments: Path
) -> dict[str, str]:
    """Return the environment of every Airflow component: configuration, addresses, and the connections.

    pools: the declared pools. All their tasks run on this host, so there is a worker for each of their slots.
    """
    address = settings.address("airflow")
    bundle = {
        "name": "hallmark",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        # The root, not its folder `dags`: Airflow puts this path on sys.path, so `operators` and `tasks` import.
        "kwargs": {"path": str(REPOSITORY), "refresh_interval": 10},
    }
    configuration = {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(sum(pool.slots for pool in pools) + LINGERING_WORKERS),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{AIRFLOW_USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(paths.passwords),
        "CORE__FERNET_KEY": credentials.airflow_fernet_key,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        # The graph shows a changed recipe as soon as it is parsed, and not half a minute later.
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{paths.airflow}/airflow.db?timeout=60",
        "API__HOST": HOST,
        "API__PORT": str(settings.ports.airflow),
        "API__BASE_URL": address,
        "API__WORKERS": "1",
        "API__SECRET_KEY": credentials.airflow_api_secret,
        "API__INSTANCE_NAME": "Hallmark",
        "API_AUTH__JWT_SECRET": credentials.airflow_jwt_secret,
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # A changed Python file is parsed at once in any case. A changed recipe waits this long. Parsing all recipes
        # every 10 s took a twentieth of a core.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
        "DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD": str(HEALTH_SECONDS),
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(HEALTH_SECONDS),
        # After a restart of the stack, the scheduler soon continues with the tasks that ran before.
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(TASK_HEARTBEAT_SECONDS),
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(HEALTH_SECONDS),
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": str(HEARTBEAT_SECONDS),
        "WORKERS__MAX_FAILED_HEARTBEATS": str(FAILED_HEARTBEATS),
        "LOGGING__BASE_LOG_FOLDER": str(paths.airflow / "logs"),
        # Airflow sets these permissions itself and ignores the umask.
        "LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "LOGGING__LOGGING_LEVEL": "INFO",
        # One line per request, and three per scan of the DAG folder, would hide the important lines.
        "LOGGING__NAMESPACE_LEVELS": "http.access=WARNING airflow.dag_processing.manager=WARNING",
    }
    connections: dict[str, Any] = {"MLFLOW": {"conn_type": "http", "host": settings.address("mlflow")}}
    if settings.store == "s3":
        connections["STORE"] = {
            "conn_type": "aws",
            "login": credentials.s3_access_key,
            "password": credentials.s3_secret_key,
            "extra": {"endpoint_url": settings.address("s3"), "region_name": "us-east-1"},
        }
    return {
        "AIRFLOW_HOME": str(paths.airflow),
        "HALLMARK_HOME": str(home()),
        "HALLMARK_ENVS": str(environments),
        "HALLMARK_TOOLS": str(tools()),
        "HALLMARK_STORE": settings.store_address,
        "PYTHONPATH": str(REPOSITORY),
        **{f"AIRFLOW__{name}": value for name, value in configuration.items()},
        **{f"AIRFLOW_CONN_HALLMARK_{name}": json.dumps(value) for name, value in connections.items()},
    }
