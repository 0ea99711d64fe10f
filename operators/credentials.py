"""Passes credentials from Airflow connections to the environment of the one process that needs them.

| connection | gives |
|---|---|
| `hallmark_store` (aws) | login and password: the access key; none: the host's own role; extra: STORE_EXTRAS alone |
| `hallmark_hub` (http) | host: the Hub's address if it is not the public one; password: a token |
| `hallmark_mlflow` (http) | host: the tracking server's address; login and password where it asks for them |

The host may be a whole address (`https://mlflow.acme:8443`), or the connection's fields hold its scheme and port.
A missing connection is no error: a local folder needs no credentials.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from tasks.contract import TaskDefinition
from tasks.errors import InvalidRecipe
from tasks.runtimes import runtime_variables
from tasks.secrets import SHELL, STORE
from tasks.settings import REPOSITORY

INHERITED = (*SHELL, "HALLMARK_HOME", "HALLMARK_ENVS", "HALLMARK_STORE", "HALLMARK_TOOLS")
"""Variables that a task's process inherits from Airflow."""

HOST_ROLE = (
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
"""Variables that tell boto3 where the keys of the host's role are. A virtual machine needs none of them."""

STORE_EXTRAS = {
    "endpoint_url": "AWS_ENDPOINT_URL_S3",
    "region_name": "AWS_DEFAULT_REGION",
    "request_checksum_calculation": "AWS_REQUEST_CHECKSUM_CALCULATION",
    "response_checksum_validation": "AWS_RESPONSE_CHECKSUM_VALIDATION",
    "aws_session_token": "AWS_SESSION_TOKEN",
}


def store_environment() -> dict[str, str]:
    """Return the variables with which `tasks.store.open` and boto3 reach the store.

    Raises InvalidRecipe where the connection has an extra that would have no effect: without `role_arn`, for example,
    the store would be reached with the rights of the bare user.
    """
    connection = _connection("hallmark_store")
    if connection is None:
        return {}
    extra = connection.extra_dejson
    # A form may save empty fields.
    if unknown := sorted(name for name, value in extra.items() if value and name not in STORE_EXTRAS):
        raise InvalidRecipe(
            f"The extra of the connection 'hallmark_store' has {unknown[0]!r}, which Hallmark does not use; keep only "
            f"{', '.join(STORE_EXTRAS)} there, and for a role, leave the login empty and give the role to the hosts."
        )
    if connection.login:
        environment = {"AWS_ACCESS_KEY_ID": connection.login, "AWS_SECRET_ACCESS_KEY": connection.password or ""}
    else:
        environment = {name: os.environ[name] for name in HOST_ROLE if name in os.environ}
    environment |= {variable: str(extra[name]) for name, variable in STORE_EXTRAS.items() if extra.get(name)}
    if endpoint := extra.get("endpoint_url"):
        # MLflow's own S3 repository reads this name only.
        environment["MLFLOW_S3_ENDPOINT_URL"] = str(endpoint)
    return environment


def enter_store() -> dict[str, str]:
    """Give this process, which runs one task only, the store's variables, and return them.

    Variables that Airflow got for other purposes are removed, because boto3 would prefer them to the host's role.
    """
    access = store_environment()
    if access:
        for name in STORE:
            os.environ.pop(name, None)
    os.environ.update(access)
    return access


def task_environment(definition: TaskDefinition, threads: int, store: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of one task's process; Hub and registry only where its definition asks for them."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **runtime_variables(definition.runtime),
        **store,
    }
    if "hub" in definition.access:
        environment |= _hub_environment()
    else:
        # A cached token must not let a task reach the Hub that did not ask for it.
        environment["HF_HUB_OFFLINE"] = "1"
    if "registry" in definition.access:
        environment |= registry_environment()
    return environment


def _hub_environment() -> dict[str, str]:
    connection = _connection("hallmark_hub")
    if connection is None:
        return {}
    environment = {"HF_ENDPOINT": _address(connection)} if connection.host else {}
    return environment | ({"HF_TOKEN": connection.password} if connection.password else {})


def registry_environment() -> dict[str, str]:
    """Return the variables with which MLflow's client reaches the registry; empty where none is configured."""
    connection = _connection("hallmark_mlflow")
    if connection is None or not connection.host:
        return {}
    environment = {"MLFLOW_TRACKING_URI": _address(connection)}
    if connection.login and connection.password:
        environment |= {"MLFLOW_TRACKING_USERNAME": connection.login, "MLFLOW_TRACKING_PASSWORD": connection.password}
    return environment


def _address(connection: Connection) -> str:
    """Return the host as an address, with the connection's port if the host has none."""
    host = connection.host or ""
    address = host if "://" in host else f"{connection.schema or 'http'}://{host}"
    try:
        parts = urlsplit(address)
        if connection.port and parts.port is None:
            return parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    except ValueError:
        # The host is not an address. Its user reports that.
        pass
    return address


def _connection(name: str) -> Connection | None:
    try:
        connection: Connection = Connection.get(name)
    except AirflowNotFoundException:
        return None
    return connection
