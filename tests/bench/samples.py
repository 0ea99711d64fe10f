"""Repetitions as they might have been measured."""

from datetime import UTC, datetime
from typing import Any

from bench.conditions import Conditions
from bench.meter import Metered
from bench.results import Repetition

CONDITIONS = Conditions(commit="a" * 40, code="b" * 64, processor="P", cores=2, memory_bytes=2**34, llama_cpp="c" * 64)

SOURCE = {"bytes": 1000, "sent_by_hub": 1000, "stored": 1001, "read_from_store": 0, "store_requests": {"PUT": 2}}


def metered(cpu: float, others: float = 0.0, **changed: Any) -> Metered:
    """Figures of a span with so many CPU seconds."""
    told: dict[str, Any] = {
        "wall_seconds": 2 * cpu,
        "cpu_seconds": cpu,
        "cpu_by_part": {"rest": cpu, "airflow": 0.0},
        "peak_memory_bytes": 300_000_000,
        "bytes_read": 1_000_000_000,
        "bytes_written": 2_000_000,
        "disk_bytes_read": 0,
        "disk_bytes_written": 0,
        "load_before": 0.1,
        "others": others,
    }
    return Metered.model_validate(told | changed)


def repetition(row: str, side: str, number: int, cpu: float, **changed: Any) -> Repetition:
    """A repetition of a row; `changed` are fields of its own."""
    told: dict[str, Any] = {
        "row": row,
        "side": side,
        "number": number,
        "measured": datetime(2026, 1, 2, 3, number, tzinfo=UTC),
        "conditions": CONDITIONS,
        "metered": metered(cpu),
    }
    return Repetition.model_validate(told | changed)


def release(number: int, cpu: float, **facts: Any) -> Repetition:
    """A whole release of ours."""
    task = {"seconds": 2.0, "cpu_seconds": 1.0, "peak_memory_bytes": 100_000_000, "reused": False}
    told: dict[str, Any] = {
        "seconds": 100.0,
        "tasks": 10,
        "jobs_cpu_seconds": 80.0,
        "critical_path_seconds": 50.0,
        "lower_bound_seconds": 95.0,
        "new_versions": 1,
        "by_task": {"pin": task, "gguf-f16.evaluate": {**task, "peak_memory_bytes": 5_000_000_000}},
        "source": SOURCE,
    }
    parts = {"rest": 2.0, "airflow": 90.0, "s3": 2.0}
    return repetition("release", "ours", number, cpu, metered=metered(cpu, cpu_by_part=parts), facts=told | facts)
