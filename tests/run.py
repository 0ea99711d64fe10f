"""Run the checks, step by step, and print how long each took: `python -m tests.run check | all | matrix EXPRESSION`.

A test that needs a runtime is run by that runtime's interpreter. pytest itself is put on the interpreter's path, so
that the runtime stays what is deployed. After the quick steps, suites run side by side, one more than there are cores:
Airflow waits a lot, and a runtime's suite has one thread.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tasks.runtime_declaration import read_all
from tasks.runtimes import environments, runtime
from tasks.settings import REPOSITORY
from tests.matrix.cases import all_cases, selected

UNIT = ["-m", "not stack and not servers", "-n", "2", "--dist", "loadgroup"]
OTHER_RELEASES = "stack and not shared_stack"
AT_ONCE = 3
"""Suites side by side, at most: each takes up to 3 GB."""

NATIVE_SECONDS = 900
"""After so long a runtime's test ends its session: it hangs in an engine, where no signal handler of Python's runs."""

SLOWEST = 20


@dataclass(frozen=True)
class Step:
    """One command. `report`: where pytest writes how long each test took."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    report: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a step; `output` is what it printed, where that was captured."""

    step: Step
    status: int
    seconds: float
    output: str = ""


def main() -> int:
    """Run the steps of `check`, or all; return 1 after the first step or group of steps that fails."""
    wanted, *words = sys.argv[1:] or ["all"]
    began = time.monotonic()
    reports: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="tests-") as folder:
        for group in STEPS[wanted](Path(folder), *words):
            outcomes = run_streamed(group[0]) if len(group) == 1 else run_side_by_side(group, at_once(), _print_outcome)
            if failed := [outcome for outcome in outcomes if outcome.status]:
                for outcome in failed:
                    print(f"== {outcome.step.name} failed; again: {' '.join(outcome.step.command)}", flush=True)
                return 1
            reports += [outcome.step.report for outcome in outcomes if outcome.step.report]
        if len(reports) > 1:
            _print_slowest("all suites", reports)
    print(f"\n== {wanted} passed in {time.monotonic() - began:.0f} s")
    return 0


def check_steps(folder: Path) -> list[list[Step]]:
    """Return the quick steps, in groups of which one follows the other; reports are written into `folder`."""
    return [
        [Step("format", _tool("ruff", "format", "--check", "."))],
        [Step("lint", _tool("ruff", "check", "."))],
        # mypy is one process, and the last unit tests leave a core idle.
        [Step("types", _tool("mypy")), _suite("unit tests", sys.executable, UNIT, folder)],
    ]


def all_steps(folder: Path) -> list[list[Step]]:
    """Return all steps, in groups of which one follows the other."""
    longest, *others = tested_runtimes()
    return [
        *check_steps(folder),
        # The longest come first. The last ones are short, so that all places are busy until the end. Two suites with
        # releases may run side by side: a timing waits until another's has ended.
        [
            _suite("tests on the demo's stack", sys.executable, ["-m", "stack and shared_stack"], folder),
            _runtime_suite(longest, folder),
            _suite("other releases", sys.executable, ["-m", OTHER_RELEASES, "--ignore=tests/chaos"], folder),
            _suite("tests with real servers", sys.executable, ["-m", "servers and not stack"], folder),
            _suite(
                "releases in which something is killed", sys.executable, ["-m", OTHER_RELEASES, "tests/chaos"], folder
            ),
            *(_runtime_suite(name, folder) for name in others),
        ],
    ]


def matrix_steps(folder: Path, expression: str) -> list[list[Step]]:
    """Return the suites with the cases of tests/matrix that an expression selects."""
    chosen = [case for case in all_cases() if selected(case, expression)]
    runtimes = dict.fromkeys(case.opened_by.runtime for case in chosen)
    return [[_runtime_suite(name, folder, "tests/matrix", "--matrix", expression) for name in runtimes]]


def tested_runtimes() -> Sequence[str]:
    """Return the runtimes whose interpreters run test files, those with the most of them first: they take longest."""
    names = [name for name, declared in read_all().items() if declared.tests]
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py")]
    return sorted(names, key=lambda name: -sum(f'runtime("{name}")' in text for text in texts))


STEPS: Mapping[str, Callable[..., list[list[Step]]]] = {"check": check_steps, "all": all_steps, "matrix": matrix_steps}


def at_once() -> int:
    """Return how many suites run side by side: one more than there are cores, because a suite with releases waits."""
    return min(AT_ONCE, len(os.sched_getaffinity(0)) + 1)


def variables(step: Step) -> dict[str, str]:
    """Return the environment of a step.

    Python may keep its bytecode, whatever the caller's shell says. Without it, each process would compile its packages
    again: 12 s of a core for pytest with the tests' own imports.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **step.environment}


def run_streamed(step: Step) -> list[Outcome]:
    """Run one step, its output on this process's own, and print how long it took."""
    print(f"\n== {step.name}", flush=True)
    start = time.monotonic()
    status = subprocess.run(step.command, cwd=REPOSITORY, env=variables(step), check=False).returncode
    outcome = Outcome(step, status, time.monotonic() - start)
    _print_times(outcome)
    return [outcome]


def run_side_by_side(steps: Sequence[Step], at_once: int, ended: Callable[[Outcome], None]) -> list[Outcome]:
    """Run steps, `at_once` of them at a time; after a failure, no other is started.

    The output of a step is captured. `ended` gets each outcome, one after the other.
    """
    outcomes: list[Outcome] = []
    reporting = threading.Lock()
    print(f"\n== {at_once} at a time: {', '.join(step.name for step in steps)}", flush=True)

    def run(step: Step) -> None:
        if any(outcome.status for outcome in outcomes):
            return
        start = time.monotonic()
        done = subprocess.run(
            step.command,
            cwd=REPOSITORY,
            env=variables(step),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        with reporting:
            output = done.stdout.decode(errors="replace")
            outcomes.append(Outcome(step, done.returncode, time.monotonic() - start, output))
            ended(outcomes[-1])

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, steps))
    return outcomes


def slowest(reports: Sequence[Path]) -> list[tuple[float, str]]:
    """Return seconds and name of the tests in JUnit reports that took longest, with their fixtures, longest first."""
    # Our own pytest has written them.
    cases = [case for report in reports if report.exists() for case in ElementTree.parse(report).iter("testcase")]
    times = ((float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}") for case in cases)
    return sorted(times, reverse=True)[:SLOWEST]


def _print_outcome(outcome: Outcome) -> None:
    print(f"\n== {outcome.step.name}\n{outcome.output}", end="")
    _print_times(outcome)


def _print_times(outcome: Outcome) -> None:
    if outcome.step.report:
        _print_slowest(outcome.step.name, [outcome.step.report])
    print(f"== {outcome.step.name}: {outcome.seconds:.0f} s", flush=True)


def _print_slowest(name: str, reports: Sequence[Path]) -> None:
    if times := slowest(reports):
        print(f"The slowest tests of: {name}")
    for seconds, test in times:
        print(f"{seconds:8.1f} s  {test}")


def _tool(*arguments: str) -> list[str]:
    return [str(environments() / "dev" / "bin" / arguments[0]), *arguments[1:]]


def _suite(
    name: str, python: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Step:
    report = folder / f"{name.replace(' ', '-')}.xml"
    return Step(name, [python, "-m", "pytest", "-q", *arguments, f"--junitxml={report}"], environment or {}, report)


def _runtime_suite(name: str, folder: Path, *words: str) -> Step:
    path = [str(REPOSITORY), *map(str, (environments() / "pytest" / "lib").glob("python3*/site-packages"))]
    environment = {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    arguments = ["--runtime", name, "-o", f"faulthandler_timeout={NATIVE_SECONDS}", *words]
    return _suite(f"tests in the runtime {name}", str(runtime(name).python), arguments, folder, environment)


if __name__ == "__main__":
    sys.exit(main())
