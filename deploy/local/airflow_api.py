"""A small client of Airflow's REST API: it triggers runs, watches them, and sets pools and connections."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict

from tasks.errors import TerminalError, TransientError

PAGE = 100
"""Airflow's own limit of rows in one reply."""

FINISHED_RUN = {"success", "failed"}


class AirflowRefused(TerminalError):
    """Raised when Airflow rejects a request: an unknown name, or a parameter that breaks its schema.

    status: that of its reply, or None where there was no reply.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AirflowUnavailable(TransientError):
    """Raised when Airflow did not reply, or replied with an error of its own."""


class _Row(BaseModel):
    """The part of a reply that is read. Airflow may add fields with every release."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DagRun(_Row):
    """A run of a DAG. `state` is queued, running, success or failed."""

    dag_run_id: str
    state: str
    start_date: datetime | None = None
    end_date: datetime | None = None
    conf: dict[str, Any] | None = None
    note: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.state in FINISHED_RUN


class TaskInstance(_Row):
    """One task of a run; `state` is None before it is scheduled. `duration` is in seconds."""

    task_id: str
    map_index: int = -1
    state: str | None = None
    try_number: int = 0
    pool: str = ""
    pool_slots: int = 1
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None
    note: str | None = None


class Pool(_Row):
    """A pool and its slots."""

    name: str
    slots: int
    description: str | None = None


class AirflowApi:
    """A client of the Airflow at `address`, for one user."""

    def __init__(self, address: str, user: str, password: str) -> None:
        self.address = address
        self._login = {"username": user, "password": password}
        # trust_env: a proxy of the environment cannot reach the loopback address.
        self._client = httpx.Client(
            base_url=address, timeout=60, trust_env=False, transport=httpx.HTTPTransport(retries=3)
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> "AirflowApi":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def health(self) -> dict[str, Any]:
        """Return the state and last heartbeat of every component, from `/api/v2/monitor/health`."""
        return dict(self._send("GET", "/api/v2/monitor/health"))

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run; return its id. Raises AirflowRefused where `conf` breaks the schema of the DAG's form."""
        body: dict[str, Any] = {"conf": dict(conf or {}), "logical_date": None}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return DagRun.model_validate(self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)).dag_run_id

    def dag_run(self, dag_id: str, run_id: str) -> DagRun:
        """Return the state of a run."""
        return DagRun.model_validate(self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def runs(self, dag_id: str) -> list[DagRun]:
        """Return the last runs of a DAG, the newest first."""
        rows = self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns", params={"order_by": "-id", "limit": 25})["dag_runs"]
        return [DagRun.model_validate(row) for row in rows]

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return all tasks of a run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return [TaskInstance.model_validate(row) for row in self._pages(path, "task_instances")]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return a task's XCom; None where there is none."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self._send("GET", path, params={"map_index": map_index, "deserialize": True})["value"]
        except AirflowRefused as error:
            if error.status == 404:
                return None
            raise

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the text of a task's log, one line per event."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        answer = self._send("GET", path, params={"map_index": map_index, "full_content": True})
        content = answer.get("content") or []
        return "\n".join(str(line.get("event", "")) if isinstance(line, dict) else str(line) for line in content)

    def wait_for_dag(self, dag_id: str, seconds: float = 120) -> None:
        """Wait until Airflow has parsed the DAG, and switch it on.

        Raises AirflowRefused with the import error of its file, or where the DAG does not appear in time.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                paused = self._send("GET", f"/api/v2/dags/{dag_id}")["is_paused"]
                break
            except AirflowRefused as refused:
                errors = self.import_errors()
                if errors:
                    named = "\n".join(f"{name}: {error}" for name, error in errors.items())
                    raise AirflowRefused(
                        f"The DAG {dag_id} could not be read; correct this file:\n{named}"
                    ) from refused
                if time.monotonic() > end:
                    raise AirflowRefused(
                        f"No DAG {dag_id} appeared within {seconds:.0f} s; see the log of airflow-dag-processor."
                    ) from refused
                time.sleep(0.5)
        if paused:
            self._send("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def import_errors(self) -> dict[str, str]:
        """Return the last line of each DAG file's import error, by file."""
        rows = self._pages("/api/v2/importErrors", "import_errors")
        return {row["filename"]: row["stack_trace"].strip().splitlines()[-1] for row in rows}

    def pools(self) -> list[Pool]:
        """Return all pools."""
        return [Pool.model_validate(row) for row in self._pages("/api/v2/pools", "pools")]

    def set_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool, or change the slots and the description of the pool with that name."""
        body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        existing = next((pool for pool in self.pools() if pool.name == name), None)
        if existing is None:
            self._send("POST", "/api/v2/pools", json=body)
        elif (existing.slots, existing.description) != (slots, description):
            self._send("PATCH", f"/api/v2/pools/{name}", json={**body, "pool": name})

    def set_connection(self, name: str, kind: str, host: str, password: str | None) -> None:
        """Create a connection, or change the host and the password of the connection with that name."""
        body = {"connection_id": name, "conn_type": kind, "host": host, "password": password}
        known = {row["connection_id"] for row in self._pages("/api/v2/connections", "connections")}
        if name in known:
            self._send("PATCH", f"/api/v2/connections/{name}", json=body)
        else:
            self._send("POST", "/api/v2/connections", json=body)

    def connection_host(self, name: str) -> str | None:
        """Return the host of a connection. Airflow never returns a password."""
        host = self._send("GET", f"/api/v2/connections/{name}")["host"]
        return None if host is None else str(host)

    def _pages(self, path: str, field: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            answer = self._send("GET", path, params={"limit": PAGE, "offset": offset})
            yield from answer[field]
            offset += PAGE
            if offset >= answer["total_entries"]:
                return

    def _send(self, method: str, path: str, **options: Any) -> Any:
        try:
            if "Authorization" not in self._client.headers and not path.endswith("/health"):
                self._authorize()
            answer = self._client.request(method, path, **options)
            if answer.status_code == 401:
                self._authorize()
                answer = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise AirflowUnavailable(
                f"Airflow at {self.address} did not answer ({error}); see `make status`."
            ) from error
        return self._checked(answer)

    def _authorize(self) -> None:
        answer = self._client.post("/auth/token", json=self._login)
        if answer.status_code == 401:
            raise AirflowRefused(
                f"Airflow at {self.address} does not know this password of {self._login['username']}; "
                "run `make down`, then `make up`."
            )
        self._client.headers["Authorization"] = f"Bearer {self._checked(answer)['access_token']}"

    def _checked(self, answer: httpx.Response) -> Any:
        if answer.status_code >= 500:
            path = answer.request.url.path
            raise AirflowUnavailable(f"Airflow failed on {path}: {answer.status_code}; see the log of airflow-api.")
        if answer.is_error:
            try:
                detail = answer.json().get("detail")
            except ValueError:
                detail = answer.text[:500]
            message = f"Airflow refused {answer.request.url.path}: {answer.status_code} {detail}"
            raise AirflowRefused(message, answer.status_code)
        return answer.json() if answer.content else {}
