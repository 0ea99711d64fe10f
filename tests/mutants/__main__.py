"""Makes mutants of modules and reports those that no test notices: `make mutants MODULES="tasks/gates/rules.py"`.

A mutant is the module with one small change: `<` becomes `<=`, `and` becomes `or`, a number grows by one, a statement
is gone. The module's tests run for each mutant. A mutant with which all of them pass has survived: the changed place is
not tested, or the change makes no difference.

cosmic-ray makes the mutants in the files themselves, so this program gives it a copy of the repository. Those that lack
a statement come from removals.py.
"""

import argparse
import difflib
import json
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tests.mutants.removals import removals

MODULES = Path(__file__).with_name("modules.toml")

TIMEOUT_SECONDS = 120
"""A mutant whose tests take longer counts as noticed: it runs for ever."""

NO_MUTANTS = (
    "core/ReplaceBinaryOperator_(?!Add_Sub$|Sub_Add$|Mul_Div$|Div_Mul$|Mod_FloorDiv$|FloorDiv_Mul$).*",
    "core/ReplaceComparisonOperator_(?!Eq_NotEq$|NotEq_Eq$|Lt_(LtE|Gt)$|LtE_(Lt|Gt)$|Gt_(GtE|Lt)$|GtE_(Gt|Lt)$"
    "|Is_IsNot$|IsNot_Is$|In_NotIn$|NotIn_In$).*",
)
"""Operators of cosmic-ray that are left out: of a dozen ways to replace one operator, one or two are kept.

`A | B` stands almost only in annotations, which nothing runs, so it is not replaced.
"""


def main() -> int:
    """Return 1 if a mutant survived."""
    known = tomllib.loads(MODULES.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="modules of tests/mutants/modules.toml; all of them without one")
    chosen = parser.parse_args().modules or list(known)
    if unknown := [module for module in chosen if module not in known]:
        parser.error(f"{unknown[0]} is not in {MODULES.relative_to(REPOSITORY)}; add it there, with its tests")
    survived = 0
    for module in chosen:
        with tempfile.TemporaryDirectory() as folder:
            results = run_mutants(Path(folder), module, known[module])
        left = [diff for outcome, diff in results if outcome == "survived"]
        survived += len(left)
        print(f"{module}: {len(left)} of {len(results)} mutants survived", flush=True)
        for diff in left:
            print(diff, flush=True)
    return 1 if survived else 0


def run_mutants(folder: Path, module: str, tests: Sequence[str]) -> list[tuple[str, str]]:
    """Return the outcome of every mutant of a module, `killed` or `survived`, with its difference from the module."""
    _copy(folder)
    command: list[str | Path] = [runtime("dev").python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    config = folder / "mutants.toml"
    config.write_text(
        "[cosmic-ray]\n"
        f"module-path = {json.dumps(module)}\n"
        f"timeout = {TIMEOUT_SECONDS}\n"
        "excluded-modules = []\n"
        f"test-command = {json.dumps(' '.join(map(str, command)))}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
        f"[cosmic-ray.filters.operators-filter]\nexclude-operators = {json.dumps(list(NO_MUTANTS))}\n",
        encoding="utf-8",
    )
    tools = runtime("mutants").python.parent

    def tool(name: str, *arguments: str) -> str:
        ran = subprocess.run([tools / name, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
        return ran.stdout

    tool("cosmic-ray", "init", config.name, "session.sqlite")
    tool("cr-filter-operators", "session.sqlite", config.name)
    tool("cosmic-ray", "exec", config.name, "session.sqlite")
    rows = [json.loads(line) for line in tool("cosmic-ray", "dump", "session.sqlite").splitlines()]
    changed = [(str(result["test_outcome"]), str(result["diff"])) for _, result in rows if _was_tested(result)]
    return [*changed, *_run_removals(folder, module, command)]


def _run_removals(folder: Path, module: str, command: Sequence[str | Path]) -> Iterator[tuple[str, str]]:
    source = (folder / module).read_text(encoding="utf-8")
    for mutant in removals(source):
        (folder / module).write_text(mutant, encoding="utf-8")
        diff = "".join(difflib.unified_diff(source.splitlines(True), mutant.splitlines(True), module, module))
        yield "survived" if _all_pass(folder, command) else "killed", diff


def _all_pass(folder: Path, command: Sequence[str | Path]) -> bool:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    ) as tests:
        try:
            return tests.wait(TIMEOUT_SECONDS) == 0
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            return False


def _was_tested(result: dict[str, object] | None) -> bool:
    return result is not None and result["worker_outcome"] == "normal"


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
