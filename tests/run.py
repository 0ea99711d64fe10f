"""Run the checks, step by step, and tell how long each took: `python -m tests.run check | all`.

A test that needs a runtime is run by that runtime's interpreter; pytest itself is put on its path, so that the runtime
stays what is deployed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from tasks.runtime_declaration import read_all
from tasks.runtimes import environments, runtime
from tasks.settings import REPOSITORY

UNIT = ["-m", "not stack and not servers", "-n", "2", "--dist", "loadgroup"]
RUNTIMES = [name for name, declared in read_all().items() if declared.tests]
"""The runtimes whose interpreters run test files."""


def main() -> int:
    """Run the steps of `check`, or all; return 1 as soon as one fails."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else "all"
    steps = CHECK if wanted == "check" else [*CHECK, *_thorough()]
    began = time.monotonic()
    for name, command, variables in steps:
        start = time.monotonic()
        print(f"\n== {name}", flush=True)
        status = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **variables}, check=False).returncode
        print(f"== {name}: {time.monotonic() - start:.0f} s", flush=True)
        if status:
            print(f"== {name} failed; again: {' '.join(map(str, command))}", flush=True)
            return 1
    print(f"\n== {wanted} passed in {time.monotonic() - began:.0f} s")
    return 0


def _tool(*arguments: str) -> list[str]:
    return [str(environments() / "dev" / "bin" / arguments[0]), *arguments[1:]]


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *arguments]


Step = tuple[str, Sequence[str], Mapping[str, str]]

CHECK: list[Step] = [
    ("format", _tool("ruff", "format", "--check", "."), {}),
    ("lint", _tool("ruff", "check", "."), {}),
    ("types", _tool("mypy"), {}),
    ("unit tests", _pytest(*UNIT), {}),
]


def _thorough() -> list[Step]:
    steps: list[Step] = [("tests with real servers", _pytest("-m", "servers and not stack"), {})]
    path = [str(REPOSITORY), *map(str, (environments() / "pytest" / "lib").glob("python3*/site-packages"))]
    for name in RUNTIMES:
        command = [str(runtime(name).python), "-m", "pytest", "-q", "--runtime", name]
        steps.append(
            (f"tests in the runtime {name}", command, {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"})
        )
    # The rounds of chaos have a stack of their own, and two at once would be in each other's way.
    steps.append(("tests with the whole stack", _pytest("-m", "stack", "--ignore=tests/chaos"), {}))
    steps.append(("releases in which something is killed", _pytest("-m", "stack", "tests/chaos"), {}))
    return steps


if __name__ == "__main__":
    sys.exit(main())
