"""In a log, each change of a task is one line; on a terminal, one table is kept up to date."""

import io

from rich.console import Console

from deploy.local.airflow_api import TaskInstance
from deploy.local.progress import Progress


def task(task_id: str, state: str | None, duration: float | None = None) -> TaskInstance:
    return TaskInstance(task_id=task_id, state=state, duration=duration)


def test_a_log_has_one_line_for_each_change() -> None:
    times = iter([0.0, 4.0, 9.0, 9.0])
    said = io.StringIO()
    with Progress(Console(file=said, width=120), clock=lambda: next(times)) as progress:
        progress.show([task("pin", "running"), task("fetch", None), task("scan", "queued")])
        progress.show([task("pin", "running"), task("fetch", "upstream_failed")])
        progress.show([task("pin", "success", 4.4), task("q8.gate", "failed")])
    assert [line.split() for line in said.getvalue().splitlines()] == [
        ["4", "s", "pin", "running"],
        ["9", "s", "pin", "success", "4", "s"],
        ["9", "s", "q8.gate", "failed"],
    ]


def test_a_terminal_has_one_row_for_each_target() -> None:
    said = io.StringIO()
    console = Console(file=said, width=120, force_terminal=True, color_system=None)
    with Progress(console, clock=lambda: 7.0) as progress:
        progress.show([task("pin", "success", 2.0), task("q8.convert", "running"), task("q8.evaluate", None)])
    assert "1 of 3 tasks, 0 s" in said.getvalue()
    assert any(line.split() == ["q8", "running"] for line in said.getvalue().splitlines())
