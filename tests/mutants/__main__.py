"""Makes mutants of modules and reports those that no test notices: `make mutants MODULES="tasks/gates/rules.py"`.

A mutant is the module with one small change (changes.py), or without one statement (removals.py). The module's tests
run for each mutant (judge.py). A mutant with which all of them pass has survived: the changed place is not tested, or
the change makes no difference.
"""

import argparse
import difflib
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tasks.runtimes import environments, runtime, tools
from tasks.settings import REPOSITORY
from tests.conftest import runtime_of
from tests.mutants.removals import removals
from tests.structure.mirrors import importers, mirrored_modules

MODULES = Path(__file__).with_name("modules.toml")

PYTEST = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist")


@dataclass(frozen=True)
class Judged:
    """The number of a module's mutants, and the differences of those that no test noticed from the module."""

    mutants: int
    survived: Sequence[str]


def main() -> int:
    """Return 1 if a mutant survived, or if a module could not be judged."""
    tested = modules_with_tests()
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("modules", nargs="*", help="modules or patterns, as tasks/gates/*.py; all modules without one")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="modules side by side")
    options = parser.parse_args()
    patterns = options.modules or ["*"]
    if unknown := [pattern for pattern in patterns if not any(fnmatch(module, pattern) for module in tested)]:
        parser.error(
            f"no module {unknown[0]} has tests of its own; name its tests in {MODULES.relative_to(REPOSITORY)}"
        )
    chosen = dict.fromkeys(module for pattern in patterns for module in tested if fnmatch(module, pattern))
    complete = True
    with ThreadPoolExecutor(options.jobs) as pool:
        judging = {pool.submit(judge, module, tested[module]): module for module in chosen}
        for done in as_completed(judging):
            try:
                result = done.result()
            except RuntimeError as error:
                complete = False
                print(f"{judging[done]}: not judged: {error}", flush=True)
                continue
            except subprocess.CalledProcessError as error:
                complete = False
                print(
                    f"{judging[done]}: not judged, because its tests fail without a change:\n{error.stdout}", flush=True
                )
                continue
            complete &= not result.survived
            print(f"{judging[done]}: {len(result.survived)} of {result.mutants} mutants survived", flush=True)
            print("\n".join(result.survived), end="", flush=True)
    return 0 if complete else 1


def modules_with_tests() -> dict[str, Sequence[str]]:
    """Return the tests of each module of the product that has some: its own, those of the table, those that import it.

    Of the last, only those that run in `dev`.
    """
    own = mirrored_modules()
    others = {module: [test for test in tests if _is_quick(test)] for module, tests in importers().items()}
    named = tomllib.loads(MODULES.read_text(encoding="utf-8"))
    found = {
        module: tuple(dict.fromkeys([*own.get(module, ()), *named.get(module, ()), *others.get(module, ())]))
        for module in sorted({*own, *others, *named})
    }
    return {module: tests for module, tests in found.items() if module.startswith(("tasks/", "operators/"))}


def _is_quick(test: str) -> bool:
    return runtime_of(REPOSITORY / test) == "dev"


def judge(module: str, tests: Sequence[str]) -> Judged:
    """Run the tests of a module for each of its mutants, in a copy of the repository.

    Raises CalledProcessError where the tests fail without any change.
    """
    source = (REPOSITORY / module).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        copy, mutants, scratch = (Path(temporary) / name for name in ("copy", "mutants", "scratch"))
        for folder in (copy, mutants, scratch):
            folder.mkdir()
        _copy(copy)
        made = _write_mutants(copy, module, source, mutants)
        for name, files in groups(module, tests):
            if not any(mutants.iterdir()):
                break
            selected = ["--runtime", name, "-m", "not servers and not stack", *files]
            judging = ["-m", "tests.mutants.judge", module, str(mutants), *PYTEST, *selected]
            subprocess.run(
                [runtime(name).python, *judging],
                cwd=copy,
                env=_environment(copy, scratch, name),
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
        changed = [mutant.read_text(encoding="utf-8") for mutant in sorted(mutants.iterdir())]
    return Judged(made, [_difference(module, source, text) for text in changed])


def _write_mutants(copy: Path, module: str, source: str, folder: Path) -> int:
    writing: list[str | Path] = [runtime("mutants").python, "-m", "tests.mutants.changes", module, folder]
    if subprocess.run(writing, cwd=copy, check=False).returncode:
        raise RuntimeError("its mutants could not be written")
    for number, text in enumerate(removals(source)):
        (folder / f"removal-{number:04}.py").write_text(text, encoding="utf-8")
    return len(list(folder.iterdir()))


def groups(module: str, tests: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """Return the files of the tests that run together, with their runtime, in the order in which they run.

    The quick ones come first: a module's own tests in `dev`, its own in other runtimes, and then all others.
    """
    own = mirrored_modules().get(module, ())
    grouped: dict[tuple[bool, bool, str], list[str]] = {}
    for test in tests:
        path = REPOSITORY / test
        for file in sorted(path.rglob("test_*.py")) if path.is_dir() else [path]:
            name = runtime_of(file)
            grouped.setdefault((test not in own, name != "dev", name), []).append(str(file.relative_to(REPOSITORY)))
    return [(name, files) for (_, _, name), files in sorted(grouped.items())]


def _environment(copy: Path, scratch: Path, name: str) -> dict[str, str]:
    """Return the environment of the tests: this checkout's runtimes, and no bytecode policy of the caller's shell."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    paths = [copy]
    if name != "dev":
        paths += environments().glob("pytest/lib/python3*/site-packages")
    return kept | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "HALLMARK_ENVS": str(environments()),
        "HALLMARK_TOOLS": str(tools()),
        "TMPDIR": str(scratch),
        "OMP_NUM_THREADS": "1",
    }


def _difference(module: str, source: str, mutant: str) -> str:
    return "".join(difflib.unified_diff(source.splitlines(True), mutant.splitlines(True), module, module))


def _copy(folder: Path) -> None:
    """Copy the repository's files, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((REPOSITORY / name).read_bytes())


if __name__ == "__main__":
    sys.exit(main())
