"""Runs a module's tests with each of its mutants: `python -m tests.mutants.judge MODULE FOLDER PYTEST_ARGUMENTS...`.

FOLDER has the mutants, one file each. Those with which a test fails are deleted: what is left, no test has noticed. The
current folder is a copy of the repository, in which MODULE is overwritten.

Importing Airflow or torch takes longer than most modules' tests. So this process imports the libraries once, and forks
for each mutant. It imports nothing of the product itself: each fork imports the changed module anew.
"""

import importlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

SPARE_SECONDS = 10.0
"""Added to five times the seconds of the tests without a change: a mutant that takes longer runs for ever."""


def main(module: Path, folder: Path, arguments: Sequence[str]) -> int:
    """Judge every mutant; return 1 if the tests fail without a change."""
    # Airflow writes its configuration there when it is imported, and that is before a conftest could say where.
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
    loaded = Path(tempfile.mkdtemp()) / "loaded"
    began = time.monotonic()
    status = _run_tests(arguments, None, loaded)
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        # All tests of these files need a server, for instance, and are left out. So they notice nothing.
        return 0
    if status:
        return 1
    limit = SPARE_SECONDS + 5 * (time.monotonic() - began)
    _import(loaded.read_text().split())
    # A mutant is written within the second and may be as long as the last one, so Python would take its bytecode.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for stale in (module.parent / "__pycache__").glob(f"{module.stem}.*"):
        stale.unlink()
    original = module.read_bytes()
    for mutant in sorted(folder.iterdir()):
        module.write_bytes(mutant.read_bytes())
        if _run_tests(arguments, limit):
            mutant.unlink()
    module.write_bytes(original)
    return 0


def _run_tests(arguments: Sequence[str], limit: float | None, loaded: Path | None = None) -> int:
    """Run the tests in a fork, for `limit` seconds at most; write the names of the libraries to `loaded`.

    Returns pytest's exit code, or a negative number if a signal ended the fork.
    """
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if loaded is None:
            _be_silent()
        status = int(pytest.main(list(arguments)))
        if loaded is not None:
            loaded.write_text(" ".join(_libraries()))
        # Not exit: what the parent has registered for its own end is not for this process to do.
        os._exit(status)
    return os.waitstatus_to_exitcode(_status(child, limit))


def _status(child: int, limit: float | None) -> int:
    """Wait for the fork, for `limit` seconds at most, end what it has started, and return its status."""
    end = None if limit is None else time.monotonic() + limit
    pid = 0
    while not pid and (end is None or time.monotonic() < end):
        time.sleep(0.02)
        pid, status = os.waitpid(child, os.WNOHANG)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not pid:
        _, status = os.waitpid(child, 0)
    return status


def _be_silent() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)


def _libraries() -> Iterator[str]:
    """Yield the names of the loaded modules that do not come from the current folder."""
    for name, module in sys.modules.items():
        file = getattr(module, "__file__", None)
        if file and not Path(file).is_relative_to(Path.cwd()):
            yield name


def _import(names: Iterable[str]) -> None:
    for name in names:
        # Some names are no modules that can be found again: they are made by their packages. They do no harm.
        with suppress(Exception):
            importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
