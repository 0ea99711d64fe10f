"""Airflow's configuration, given as environment variables: no airflow.cfg is written or read."""

import json
from pathlib import Path
from typing import Any

from deploy.local.credentials import AIRFLOW_USER, Credentials
from deploy.local.settings import HOST, StackPaths, StackSettings
from tasks.host.facts import HostFacts
from tasks.runtimes import tools
from tasks.settings import REPOSITORY, home

HEALTH_SECONDS = 120
"""A component's heartbeat may be this old: conversions keep both cores of a small machine busy for longer than
Airflow's 30 s, and a scheduler that takes itself for dead gives away its own tasks."""

TASK_HEARTBEAT_SECONDS = 60
"""A task whose worker was killed is known by this silence. Workers beat every 10 s and wait for a busy API; six
missed beats are no accident, and Airflow's 300 s are too long to look at a run that stands still."""

LINGERING_WORKERS = 2
"""Workers beyond one for each core. On a busy machine a task's supervisor sees its end at its next heartbeat only, and
keeps the worker until then: ready tasks waited 10 s for one. SQLite has one writer, so many more tasks at once would
wait for it until their requests time out."""


def airflow_environment(
    settings: StackSettings, paths: StackPaths, credentials: Credentials, host: HostFacts, environments: Path
) -> dict[str, str]:
    """Return what every Airflow component gets: configuration, addresses, and the connections to store and registry."""
    address = settings.address("airflow")
    bundle = {
        "name": "hallmark",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        # The root, not its folder dags: the root is what goes on the path, so that `operators` and `tasks` import.
        "kwargs": {"path": str(REPOSITORY), "refresh_interval": 10},
    }
    configuration = {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(host.cores + LINGERING_WORKERS),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{AIRFLOW_USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(paths.passwords),
        "CORE__FERNET_KEY": credentials.airflow_fernet_key,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        # A change of a recipe shows in the graph when it is parsed, not half a minute later.
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
        "CORE__MIN_SERIALIZED_DAG_FETCH_INTERVAL": "5",
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
        # A changed Python file is parsed at once whatever this says; a changed recipe waits this long. Parsing all of
        # them every 10 s took a twentieth of a core.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
        "DAG_PROCESSOR__DAG_PROCESSOR_HEALTH_CHECK_THRESHOLD": str(HEALTH_SECONDS),
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(HEALTH_SECONDS),
        # Tasks that ran when the stack was stopped are taken up again soon after it is started.
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(TASK_HEARTBEAT_SECONDS),
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(HEALTH_SECONDS),
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "10",
        "LOGGING__BASE_LOG_FOLDER": str(paths.airflow / "logs"),
        # Airflow sets these itself, whatever the umask.
        "LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "LOGGING__LOGGING_LEVEL": "INFO",
        # One line for each request, and three for each look at the folder of DAGs, would hide what matters.
        "LOGGING__NAMESPACE_LEVELS": "http.access=WARNING airflow.dag_processing.manager=WARNING",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
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
