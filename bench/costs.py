"""Parts of the CPU seconds of a release, of ours or of the script."""

from bench.results import Repetition


def costs(one: Repetition) -> dict[str, float]:
    """CPU seconds of each task or step, by the script's names: `reference`, `convert:gguf-f16`."""
    if "by_task" not in one.facts:
        return {name: float(step["cpu_seconds"]) for name, step in one.facts["steps"].items()}
    tasks = one.facts["by_task"].items()
    return {":".join(reversed(name.split("."))): float(cost["cpu_seconds"]) for name, cost in tasks}


def tools(ours: Repetition, hand: Repetition) -> float:
    """CPU seconds of converters, quantizers, exporters and engines in a release of ours.

    The script's figure counts for each step except download and upload, or ours where that is lower.
    """
    own = costs(ours)
    steps = {name: min(seconds, own.get(name, seconds)) for name, seconds in costs(hand).items()}
    return sum(seconds for name, seconds in steps.items() if not name.startswith(("fetch", "upload")))


def without_store(one: Repetition) -> float:
    """CPU seconds of everything but the S3 server."""
    return one.cpu_seconds - one.metered.cpu_by_part.get("s3", 0.0)


def without_timings(one: Repetition) -> float:
    """CPU seconds of everything but the benchmarks."""
    timings = sum(seconds for name, seconds in costs(one).items() if name.startswith("benchmark:"))
    return one.cpu_seconds - timings


def making(one: Repetition) -> float:
    """CPU seconds of conversions, of the reference and of evaluations."""
    kinds = ("convert:", "reference", "evaluate:")
    return sum(seconds for name, seconds in costs(one).items() if name.startswith(kinds))


def airflow(one: Repetition) -> float:
    """CPU seconds of Airflow for each task: all its processes, idle ones too, without the jobs that they started.

    `rest` is the scheduler, whose command does not name Airflow, and supervisord, which uses next to nothing.
    """
    parts = one.metered.cpu_by_part
    alone = parts["airflow"] + parts["rest"] - one.facts["jobs_cpu_seconds"]
    return float(alone / one.facts["tasks"])
