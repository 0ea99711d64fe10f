"""The laptop stack in a folder of its own, with proxies between its servers and whoever asks them.

Only two things differ from what a user starts: Airflow is told the proxies' addresses in place of the servers', and
reads the recipe in `bundle` in place of those in `dags`.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from mlflow import MlflowClient

from deploy.local import programs as product
from deploy.local import stack
from deploy.local.airflow_api import AirflowApi
from deploy.local.session import orphans, session_processes
from deploy.local.settings import BUCKET, StackPaths, StackSettings, stack_paths
from deploy.local.supervisor import Supervisor
from tasks.pools import Pool
from tasks.runtimes import environments
from tasks.store.base import Store
from tasks.store.open import open_store
from tests.chaos.processes import JobWatcher, parent, working_below
from tests.fixtures.faulty_proxy import FaultyProxy, Request
from tests.fixtures.servers import free_port
from tests.fixtures.stack import BESIDE_OTHERS

BUNDLE = Path(__file__).parent / "bundle"
BUNDLES = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
MANIFESTS = f"/{BUCKET}/store/artifacts/"


@dataclass
class ChaosStack:
    """The stack that is up; `manifests` gets key, attempt and time of every manifest whose writing was answered."""

    home: Path
    airflow: AirflowApi
    store: Store
    registry: MlflowClient
    watcher: JobWatcher
    s3: FaultyProxy
    mlflow: FaultyProxy
    manifests: list[tuple[str, str, float]] = field(default_factory=list)

    def component(self, name: str) -> int:
        """Return the process of a component; raises ProcessLookupError while it does not run."""
        pid = Supervisor(stack_paths()).processes()[name].pid
        if not pid:
            raise ProcessLookupError(name)
        return pid

    def ancestor(self, job: int, generations: int) -> int:
        """Return the process of Airflow so far above a job; raises ProcessLookupError where that has ended."""
        pid = job
        for _ in range(generations):
            pid = parent(pid)
        # The parent of an orphan is nobody's to kill.
        if pid not in session_processes(stack_paths().session):
            raise ProcessLookupError(pid)
        return pid

    def uploads(self) -> list[str]:
        """Return the keys of multipart uploads that are neither finished nor aborted."""
        access = stack.environment()
        client = boto3.client("s3", endpoint_url=access["AWS_ENDPOINT_URL_S3"], region_name="us-east-1")
        return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def leftover_processes(self) -> list[int]:
        """Return processes that nobody waits for: model tasks, their tools, and what a killed component left."""
        jobs = [start.process.pid for start in self.watcher.running()]
        return sorted({*jobs, *working_below(self.home / "scratch"), *orphans(stack_paths().session)})

    def scratch_folders(self) -> list[str]:
        """Return the scratch folders that are there."""
        return sorted(folder.name for folder in (self.home / "scratch").glob("*") if folder.is_dir())


@contextmanager
def chaos_stack(home: Path) -> Iterator[ChaosStack]:
    """Start the stack with its state in `home`; stop it in the end."""
    ports = {service: free_port() for service in ("airflow", "mlflow", "s3", "hub")}
    home.mkdir(parents=True, exist_ok=True)
    lines = [BESIDE_OTHERS, "[ports]", *(f"{name} = {port}" for name, port in ports.items()), ""]
    (home / "settings.toml").write_text("\n".join(lines))
    manifests: list[tuple[str, str, float]] = []
    with ExitStack() as cleaning:
        patch = cleaning.enter_context(pytest.MonkeyPatch.context())
        addresses = {service: f"http://127.0.0.1:{port}" for service, port in ports.items()}
        s3 = cleaning.enter_context(FaultyProxy(addresses["s3"], answered=_manifest_recorder(manifests)))
        mlflow = cleaning.enter_context(FaultyProxy(addresses["mlflow"], keep_host=False))
        patch.setenv("HALLMARK_ENVS", str(environments()))
        patch.setenv("HALLMARK_HOME", str(home))
        patch.setattr(stack, "programs", _behind_proxies({"s3": s3.port, "mlflow": mlflow.port}))
        cleaning.callback(stack.down)
        stack.up()
        for name, value in stack.environment().items():
            patch.setenv(name, value)
        yield ChaosStack(
            home=home,
            airflow=cleaning.enter_context(stack.airflow_api()),
            store=open_store(),
            registry=MlflowClient(),
            watcher=cleaning.enter_context(JobWatcher(home)),
            s3=s3,
            mlflow=mlflow,
            manifests=manifests,
        )


def _behind_proxies(ports: Mapping[str, int]) -> Any:
    def programs(
        settings: StackSettings, paths: StackPaths, credentials: Any, pools: Sequence[Pool]
    ) -> list[product.Program]:
        seen = settings.model_copy(update={"ports": settings.ports.model_copy(update=dict(ports))})
        bundle = [{"name": "chaos", "classpath": BUNDLE_CLASS, "kwargs": {"path": str(BUNDLE)}}]
        servers = [
            program
            for program in product.programs(settings, paths, credentials, pools)
            if not program.name.startswith("airflow-")
        ]
        clients = [
            replace(program, environment={**program.environment, BUNDLES: json.dumps(bundle)})
            for program in product.programs(seen, paths, credentials, pools)
            if program.name.startswith("airflow-")
        ]
        return servers + clients

    return programs


BUNDLE_CLASS = "airflow.dag_processing.bundles.local.LocalDagBundle"


def _manifest_recorder(manifests: list[tuple[str, str, float]]) -> Any:
    def record(request: Request, status: int) -> None:
        if is_manifest(request) and status < 300:
            told = json.loads(request.body)
            manifests.append((told["key"], told["attempt"], time.monotonic()))

    return record


def is_manifest(request: Request) -> bool:
    """Whether a request writes a key's manifest, which makes the artifact exist."""
    return _writes_json(request, depth=1)


def is_attempt_manifest(request: Request) -> bool:
    """Whether a request writes an attempt's own manifest, which says that its files are whole."""
    return _writes_json(request, depth=2)


def _writes_json(request: Request, depth: int) -> bool:
    below = request.path.removeprefix(MANIFESTS)
    named = below != request.path and below.endswith(".json") and len(below.split("/")) == depth
    return request.method == "PUT" and named
