"""What all tests share: the real servers, and the rule that a test runs in the runtime that it names."""

import os
import re
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

# Airflow reads this when it is imported, wherever that happens first; a person's own is none of the tests'.
AIRFLOW_HOME = tempfile.TemporaryDirectory(prefix="airflow-")
os.environ["AIRFLOW_HOME"] = AIRFLOW_HOME.name

# The servers' fixtures need what only the dev environment has; the runtimes have no use for them.
pytest_plugins = (
    [f"tests.fixtures.{name}" for name in ("servers", "echo_server", "stack", "released", "disks", "memory_groups")]
    if find_spec("airflow")
    else []
)

SLOW_SERVERS = {"s3_server", "mlflow_server", "mlflow_beside_folder"}
"""Fixtures that start a server's process, which takes seconds; tests with them are no part of `make check`."""

SHARED_STACK = "running_stack"
"""The fixture that starts the session's laptop stack; `make test` runs the tests with it in a session of their own."""

TIME_LIMITS = {"stack": 2400, "runtime": 600, "servers": 300}
"""Seconds for one test, fixtures included; the first mark that a test has counts. The first test of a stack waits for
the stack's start and for a release of the demo model (tests/fixtures/released.py). Other tests: see pyproject.toml.
"""

RUNTIME = re.compile(r'^pytestmark = .*\bruntime\("([\w-]+)"\)', re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--runtime NAME` selects the test files of one runtime; without it, those of the dev environment.

    `--matrix EXPRESSION` selects cases of the matrix; without it, those that take long are left out.
    """
    parser.addoption("--runtime", default="dev", help="run the test files marked for this runtime")
    parser.addoption("--matrix", help="run only the cases of tests/matrix that match, as arch=llama and target=gguf-*")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the files of other runtimes, nor a conftest beside none but them: it is not all there."""
    wanted = config.getoption("--runtime")
    if collection_path.is_dir():
        return None if any(runtime_of(path) == wanted for path in collection_path.rglob("test_*.py")) else True
    if not collection_path.name.startswith("test_") or collection_path.suffix != ".py":
        return None
    return True if runtime_of(collection_path) != wanted else None


def runtime_of(path: Path) -> str:
    named = RUNTIME.search(path.read_text(encoding="utf-8"))
    return named[1] if named else "dev"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by the servers and the stack that they use, and give each slow kind of test its time limit."""
    if expression := config.getoption("--matrix"):
        _keep_cases(config, items, expression)
    else:
        _drop_asked(config, items)
    for item in items:
        if SLOW_SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")
        if SHARED_STACK in getattr(item, "fixturenames", ()):
            item.add_marker("shared_stack")
        limit = time_limit({mark.name for mark in item.iter_markers()})
        if limit is not None:
            item.add_marker(pytest.mark.timeout(limit))


def _keep_cases(config: pytest.Config, items: list[pytest.Item], expression: str) -> None:
    from tests.matrix.cases import Case, parse, selected

    try:
        parse(expression)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    cases = {item: item.callspec.params.get("case") for item in items if hasattr(item, "callspec")}
    kept = [item for item, case in cases.items() if isinstance(case, Case) and selected(case, expression)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _drop_asked(config: pytest.Config, items: list[pytest.Item]) -> None:
    dropped = [item for item in items if hasattr(item, "callspec") and _is_asked(item.callspec.params.get("case"))]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


def _is_asked(case: object) -> bool:
    return getattr(case, "asked", False) is True


def time_limit(marks: set[str]) -> int | None:
    """Return the seconds that a test with these marks may take; None where its own or the default limit counts."""
    if "timeout" in marks:
        return None
    return next((seconds for mark, seconds in TIME_LIMITS.items() if mark in marks), None)
