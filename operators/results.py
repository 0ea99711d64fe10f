"""The results of a run's tasks, and whether they still hold after a part of the run was cleared.

Airflow removes the result of a cleared task only when the task starts again. A task that does not start again, because
an earlier one has failed, keeps the result of its last run. So each result names the results from which it was made. It
holds as long as those are the results that the run has now, and hold, too.
"""

from typing import Any

from airflow.sdk.exceptions import AirflowFailException

MADE_FROM = "made_from"
"""The field of a result with the task ids of its inputs, and the artifact of each; None for one that was absent."""


def maybe_pulled(context: Any, task_id: str) -> dict[str, Any] | None:
    """Return the result of a task, or None where it failed or was skipped. It may be one that no longer holds."""
    told = context["ti"].xcom_pull(task_ids=task_id)
    return told if isinstance(told, dict) else None


def pulled(context: Any, task_id: str) -> dict[str, Any]:
    """Return the result of a task; raises AirflowFailException where it left none."""
    told = maybe_pulled(context, task_id)
    if told is None:
        raise AirflowFailException(f"The task {task_id} left no result; clear it and what follows it.")
    return told


class Results:
    """The results of the tasks of one run that hold. It asks Airflow once for each task."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._told: dict[str, dict[str, Any] | None] = {}
        self._replaced: dict[str, str | None] = {}

    def holding(self, task_id: str) -> dict[str, Any] | None:
        """Return the result of a task, or None where it left none or its result no longer holds."""
        return None if self.outdated(task_id) else self._pulled(task_id)

    def artifact(self, task_id: str) -> str | None:
        """Return the key of the artifact of a task, or None where there is none or its result no longer holds."""
        told = self.holding(task_id)
        return told["artifact"] if told else None

    def outdated(self, task_id: str) -> str | None:
        """Return one sentence if the task left a result that no longer holds, or None. It names the first cause."""
        earlier = self._replaced_input(task_id)
        if earlier is None:
            return None
        return self.outdated(earlier) or (
            f"The result of {task_id} was made from an earlier result of {earlier}; "
            f"clear {earlier} and what follows it."
        )

    def _pulled(self, task_id: str) -> dict[str, Any] | None:
        if task_id not in self._told:
            self._told[task_id] = maybe_pulled(self._context, task_id)
        return self._told[task_id]

    def _replaced_input(self, task_id: str) -> str | None:
        """Return the first input of a task's result whose artifact is another one now, or is gone; None without one."""
        if task_id not in self._replaced:
            made_from = (self._pulled(task_id) or {}).get(MADE_FROM, {})
            changed = (earlier for earlier, key in made_from.items() if self.artifact(earlier) != key)
            self._replaced[task_id] = next(changed, None)
        return self._replaced[task_id]
