"""Which test file belongs to which module: `tests/tasks/store/test_cache.py` to `tasks/store/cache.py`."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tasks.settings import REPOSITORY
from tests.structure.imports import imported, modules

TOPS = ("operators", "tasks", "deploy", "bench")


def files() -> list[str]:
    """Return the test files below the folders that mirror the product."""
    found = [path for top in TOPS for path in (REPOSITORY / "tests" / top).rglob("test_*.py")]
    return sorted(path.relative_to(REPOSITORY).as_posix() for path in found)


def modules_of(test: str) -> Iterator[str]:
    """Yield the modules in the mirrored folder whose name the test's begins with, as test_cache_faults.py cache's."""
    path = Path(test)
    folder = REPOSITORY / path.parent.relative_to("tests")
    name = f"{path.stem.removeprefix('test_')}_"
    for module in folder.glob("*.py"):
        if name.startswith(f"{module.stem.strip('_')}_"):
            yield module.relative_to(REPOSITORY).as_posix()


@cache
def mirrored_modules() -> Mapping[str, tuple[str, ...]]:
    """Return the tests of each module that has some: the files named after it, or those beside them that import it."""
    named: dict[str, list[str]] = {}
    beside: dict[str, list[str]] = {}
    for test in files():
        folder = ".".join(Path(test).parent.relative_to("tests").parts)
        for module in modules_of(test):
            named.setdefault(module, []).append(test)
        for name in direct(test):
            if name.rpartition(".")[0] == folder:
                beside.setdefault(source(name), []).append(test)
    return {module: tuple(tests) for module, tests in (beside | named).items()}


@cache
def importers() -> Mapping[str, tuple[str, ...]]:
    """Return, for each module that some test file imports, all files that do."""
    found: dict[str, list[str]] = {}
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        test = path.relative_to(REPOSITORY).as_posix()
        for name in direct(test):
            found.setdefault(source(name), []).append(test)
    return {module: tuple(tests) for module, tests in found.items()}


@cache
def direct(test: str) -> frozenset[str]:
    """Return the modules of the product that a test file imports."""
    return frozenset(imported(REPOSITORY / test, modules(REPOSITORY)))


def dotted(module: str) -> str:
    """Return a module's name from its path."""
    return module.removesuffix(".py").replace("/", ".")


def source(name: str) -> str:
    """Return a module's path from its name."""
    return f"{name.replace('.', '/')}.py"
