"""The components of the stack: the command, runtime and environment of each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.airflow_environment import airflow_environment
from deploy.local.credentials import Credentials
from deploy.local.settings import BUCKET, HOST, StackPaths, StackSettings, mirror_roots
from tasks.pools import Pool
from tasks.runtimes import Runtime, runtime
from tasks.settings import REPOSITORY

AIRFLOW_COMPONENTS = {
    "airflow-api": ("airflow", "api-server"),
    # The log servers of scheduler and triggerer are for workers on other hosts, and would listen on all addresses.
    "airflow-scheduler": ("deploy.local.scheduler", "scheduler", "--skip-serve-logs"),
    "airflow-dag-processor": ("airflow", "dag-processor"),
    "airflow-triggerer": ("airflow", "triggerer", "--skip-serve-logs"),
}

HEALTH_NAMES = {
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dag_processor",
    "airflow-triggerer": "triggerer",
}
"""The names of the components on Airflow's health page."""


@dataclass(frozen=True)
class Program:
    """One supervised process.

    port: the name of the setting that holds its port; None where it listens on no port.
    stop_group: whether its children get the stop signal too, or the process stops its children itself.
    """

    name: str
    command: tuple[str, ...]
    port: str | None
    environment: dict[str, str] = field(repr=False)
    stop_group: bool = True


def programs(
    settings: StackSettings, paths: StackPaths, credentials: Credentials, pools: Sequence[Pool]
) -> list[Program]:
    """Return all components in the order of their start; raises NotFound where a runtime is missing.

    If the store is a folder, there is no S3 server.
    """
    stack, mlflow, control = runtime("stack"), runtime("mlflow"), runtime("control")
    return [
        *([_s3(stack, settings, paths, credentials)] if settings.store == "s3" else []),
        _hub(stack, settings, paths),
        _mlflow(mlflow, settings, paths, credentials),
        *_airflow(control, settings, paths, credentials, pools),
    ]


def store_access(settings: StackSettings, credentials: Credentials) -> dict[str, str]:
    """Return the variables for clients of the S3 server (boto3 and MLflow); empty if the store is a folder."""
    if settings.store == "folder":
        return {}
    return {
        "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": settings.address("s3"),
        "MLFLOW_S3_ENDPOINT_URL": settings.address("s3"),
    }


def _s3(stack: Runtime, settings: StackSettings, paths: StackPaths, credentials: Credentials) -> Program:
    command = [str(stack.python), "-m", "deploy.local.s3_server", "--port", str(settings.ports.s3), "--data"]
    command += [str(paths.s3), "--bucket", BUCKET, "--access-log", str(paths.s3_requests)]
    environment = {
        "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
        **_own_code(stack),
    }
    return Program("s3", tuple(command), "s3", environment)


def _hub(stack: Runtime, settings: StackSettings, paths: StackPaths) -> Program:
    command = [str(stack.python), "-m", "deploy.local.hub_mirror", "--port", str(settings.ports.hub)]
    for root in mirror_roots():
        command += ["--root", str(root)]
    command += ["--access-log", str(paths.hub_requests)]
    return Program("hub", tuple(command), "hub", _own_code(stack))


def _mlflow(mlflow: Runtime, settings: StackSettings, paths: StackPaths, credentials: Credentials) -> Program:
    port = settings.ports.mlflow
    command = [str(mlflow.python), "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{paths.mlflow}/mlflow.db"]
    command += ["--artifacts-destination", settings.mlflow_destination]
    # Otherwise a web page could reach the server: its host name could resolve to this address (DNS rebinding).
    command += ["--allowed-hosts", f"{HOST}:{port},localhost:{port}"]
    environment = {
        **store_access(settings, credentials),
        # Job execution would start nine more processes (2 GB) for a feature that is not used here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HALLMARK_VERSION": mlflow.lock_digest,
    }
    return Program("mlflow", tuple(command), "mlflow", environment)


def _airflow(
    control: Runtime, settings: StackSettings, paths: StackPaths, credentials: Credentials, pools: Sequence[Pool]
) -> list[Program]:
    shared = airflow_environment(settings, paths, credentials, pools, control.python.parents[2])
    made = []
    for name, arguments in AIRFLOW_COMPONENTS.items():
        environment = shared | {"HALLMARK_VERSION": control.lock_digest}
        if name == "airflow-triggerer":
            # The only component that keeps our code imported, so it restarts when the code changes.
            environment["HALLMARK_VERSION"] += _digest(REPOSITORY / "operators")
        command = [str(control.python), "-m", *arguments]
        port = "airflow" if name == "airflow-api" else None
        # A worker of the scheduler that gets a stop signal drops its task and takes the next one from the queue.
        made.append(Program(name, tuple(command), port, environment, stop_group=name != "airflow-scheduler"))
    return made


def _own_code(stack: Runtime) -> dict[str, str]:
    """Return variables that change with the code and the lock of our servers, so that a changed server restarts."""
    return {"PYTHONPATH": str(REPOSITORY), "HALLMARK_VERSION": stack.lock_digest + _digest(Path(__file__).parent)}


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
