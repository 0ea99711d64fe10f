"""A failure says by which cause code decides, also where an earlier version wrote it."""

import pytest

from tasks.contract import Failure, Result
from tasks.errors import Corrupt, DiskFull, HallmarkError, HubUnavailable, MemoryExceeded, OutOfMemory, ToolKilled


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (Corrupt("x"), "terminal", "error"),
        (HubUnavailable("x"), "transient", "error"),
        (OutOfMemory("x"), "transient", "out-of-memory"),
        (MemoryExceeded("x"), "terminal", "memory-exceeded"),
        (DiskFull("x"), "terminal", "disk-full"),
        (ToolKilled("x"), "transient", "killed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_an_error_is_a_failure_of_its_kind_and_cause(error: HallmarkError, kind: str, cause: str) -> None:
    failure = Failure.of(error)
    assert (failure.kind, failure.cause, failure.error, failure.message) == (kind, cause, type(error).__name__, "x")


def test_a_result_of_a_job_that_an_earlier_version_started_is_read() -> None:
    text = '{"failure": {"kind": "transient", "error": "%s", "message": "x"}}'
    causes = {}
    for name in ("OutOfMemory", "DiskFull", "Bug", "Corrupt"):
        failure = Result.from_json(text % name).failure
        assert failure
        causes[name] = failure.cause
    assert causes == {"OutOfMemory": "out-of-memory", "DiskFull": "disk-full", "Bug": "bug", "Corrupt": "error"}
