"""What all tests share: the real servers, and the rule that a test runs in the runtime that it names."""

from importlib.util import find_spec

import pytest

# The servers' fixtures need what only the dev environment has; the runtimes have no use for them.
pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.stack"] if find_spec("uvicorn") else []

SLOW_SERVERS = {"s3_server", "mlflow_server"}
"""Fixtures that start a server's process, which takes seconds; tests with them are no part of `make check`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--runtime NAME` selects the tests of one runtime; without it, those of the dev environment."""
    parser.addoption("--runtime", default="dev", help="run the tests marked for this runtime")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other runtimes: `make test` runs pytest once for each."""
    wanted = config.getoption("--runtime")
    for item in items:
        if SLOW_SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")
    chosen = [item for item in items if _runtime(item) == wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def _runtime(item: pytest.Item) -> str:
    marker = item.get_closest_marker("runtime")
    return str(marker.args[0]) if marker else "dev"
