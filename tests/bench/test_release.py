"""What is asked of a release that has ended."""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bench.release import facts_of
from bench.stack import Stack
from deploy.local.airflow_api import TaskInstance

RUN = {"dag": "release_bench", "run": "manual", "seconds": 30.0}


def test_a_task_that_only_waits_for_others_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    told: dict[str, Any] = {
        "register": {"cost": {"cpu_seconds": 2.0}, "reused": False, "facts": {"new_versions": ["a/1"]}},
        "gguf-f16.judged": None,
    }
    began = datetime(2026, 1, 2, tzinfo=UTC)
    instances = [TaskInstance(task_id=name, state="success", start_date=began, duration=3.0) for name in told]
    airflow = SimpleNamespace(
        task_instances=lambda dag, run: instances,
        xcom=lambda dag, run, name: told[name],
    )
    stack = SimpleNamespace(
        airflow=lambda: nullcontext(airflow),
        places=SimpleNamespace(model=tmp_path),
        requests=lambda server: [],
    )
    found = facts_of(cast("Stack", stack), RUN, {})
    assert found["by_task"].keys() == {"register"}
    assert (found["tasks"], found["jobs"], found["new_versions"]) == (2, 1, 1)
