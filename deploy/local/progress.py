"""Shows the progress of a release: a live table on a terminal, and one line per change in other output."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deploy.local.airflow_api import TaskInstance

STEPS = ("convert", "convert_control", "compare_weights", "evaluate", "compare_control", "benchmark", "gate")
MARKS = {
    "success": "[green]done[/]",
    "failed": "[red]failed[/]",
    "upstream_failed": "[red]-[/]",
    "skipped": "[dim]skipped[/]",
    "running": "[cyan]running[/]",
    "up_for_retry": "[yellow]again soon[/]",
    "queued": "[dim]waits[/]",
}
ENDED = {"success", "failed", "skipped", "upstream_failed"}


@dataclass
class Progress:
    """Shows the tasks of a run. Use it as a context manager, so that the terminal is restored."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    _told: dict[str, str] = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> Self:
        self._began = self.clock()
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, tasks: Iterable[TaskInstance]) -> None:
        """Show the current states of the tasks."""
        known = list(tasks)
        if self._live:
            self._live.update(self._table(known))
            return
        for task in known:
            if task.state in ENDED | {"running", "up_for_retry"} and self._told.get(task.task_id) != task.state:
                self._told[task.task_id] = str(task.state)
                if task.state != "upstream_failed":
                    self.console.print(
                        f"{self.clock() - self._began:6.0f} s  {task.task_id:32} {task.state}{_took(task)}"
                    )

    def _table(self, tasks: list[TaskInstance]) -> Table:
        states = {task.task_id: task for task in tasks}
        done = sum(task.state in ENDED for task in tasks)
        title = f"{done} of {len(tasks)} tasks, {self.clock() - self._began:.0f} s"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        table.add_column("target")
        for step in STEPS:
            table.add_column(step)
        for task_id, task in states.items():
            if "." not in task_id and task.state:
                table.add_row(task_id, _mark(task))
        for group in dict.fromkeys(task_id.rpartition(".")[0] for task_id in states if "." in task_id):
            table.add_row(group, *(_mark(states.get(f"{group}.{step}")) for step in STEPS))
        return table


def _mark(task: TaskInstance | None) -> str:
    if task is None or task.state is None:
        return ""
    return f"{MARKS.get(task.state, task.state)}[dim]{_took(task)}[/]"


def _took(task: TaskInstance) -> str:
    return f" {task.duration:.0f} s" if task.duration and task.state in {"success", "failed"} else ""
