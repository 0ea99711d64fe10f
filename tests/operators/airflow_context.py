"""Stands for what Airflow gives a task: what the tasks before it have told, and where it tells its own."""

from typing import Any


class TaskInstance:
    """Knows what was told, by task and key, and keeps what is pushed."""

    def __init__(self, told: dict[str, Any] | None = None, failures: dict[str, str] | None = None) -> None:
        self._told = {("return_value", task): value for task, value in (told or {}).items()}
        self._told |= {("failure", task): value for task, value in (failures or {}).items()}
        self.pushed: dict[str, Any] = {}

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        """As Airflow does: None where there is nothing."""
        return self._told.get((key, task_ids))

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep it."""
        self.pushed[key] = value


def context(
    told: dict[str, Any] | None = None, failures: dict[str, str] | None = None, run_id: str = "run-1", **params: Any
) -> dict[str, Any]:
    """Return the context of a task; `params` are those of the trigger, on top of the form's defaults."""
    form = {"model": "acme/tiny", "revision": "main", "targets": ["gguf-q8_0"], "dry_run": False, "force": False}
    return {"ti": TaskInstance(told, failures), "params": {**form, **params}, "run_id": run_id}
