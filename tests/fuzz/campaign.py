"""Fuzz one parser from its corpus and measure what that reached; by hand for longer: `make fuzz SECONDS=600`.

`python -m tests.fuzz.campaign [--runs N | --seconds N] [--keep] [NAME...]`, in the runtime `fuzz`. With `--keep` the
corpus becomes the smallest set of inputs that reach all that it and the run have reached; inputs that once broke a
parser, whose names say so, stay.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.target import CORPUS, FOLDER, load, names

REPOSITORY = FOLDER.parents[1]
MEMORY_DISK = Path("/dev/shm")
SLACK_SECONDS = 300
HANDWRITTEN = re.compile(r"(seed|broke)-")
"""Names of inputs that somebody gave; the others are named by their digest, as libFuzzer does."""


@dataclass(frozen=True)
class Campaign:
    """What a run did: executions, seconds, the input that broke the parser, libFuzzer's words.

    broken: in the temporary folder.
    covered, branches: of the parser, by corpus and run together; `missing` are those that nothing reached.
    """

    executions: int
    seconds: int
    broken: Path | None
    said: str
    covered: int
    branches: int
    missing: tuple[str, ...]

    @property
    def coverage(self) -> float:
        """Branch coverage in percent."""
        return 100 * self.covered / self.branches


def fuzz(name: str, runs: int | None = None, seconds: int | None = None, keep: bool = False) -> Campaign:
    """Run `runs` executions or for `seconds`, then replay everything under the measure of branches."""
    with _workshop() as work:
        found = work / "found"
        found.mkdir()
        limit = [f"-runs={runs}"] if seconds is None else [f"-max_total_time={seconds}"]
        said = _explore(name, work, *limit, "-seed=1", str(found), str(CORPUS / name), patience=seconds)
        executed = re.search(r"stat::number_of_executed_units: (\d+)", said)
        done = re.search(r"Done \d+ runs? in (\d+) second", said)
        if broken := next((path for pattern in ("crash-*", "timeout-*", "oom-*") for path in work.glob(pattern)), None):
            broken = Path(shutil.copy(broken, Path(tempfile.gettempdir()) / f"{name}-{broken.name}"))
        nothing: dict[str, Any] = {"covered": 0, "branches": 1, "missing": []}
        counts = _replay(name, work, found) if broken is None else nothing
        if keep and broken is None:
            _minimize(name, work, found)
        return Campaign(
            executions=int(executed[1]) if executed else 0,
            seconds=int(done[1]) if done else 0,
            broken=broken,
            said=said,
            covered=counts["covered"],
            branches=counts["branches"],
            missing=tuple(counts["missing"]),
        )


@contextmanager
def _workshop() -> Iterator[Path]:
    """A folder in memory, where the system offers that: every input is written to a file once."""
    disk = MEMORY_DISK if os.access(MEMORY_DISK, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=disk) as work:
        yield Path(work).resolve()


def _explore(name: str, work: Path, *options: str, patience: int | None = None) -> str:
    shutil.rmtree(work / "folder", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.explore", name, str(work), *options],
        cwd=REPOSITORY,
        env=_environment(work),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=(patience or SLACK_SECONDS) + SLACK_SECONDS,
        check=False,
    )
    return done.stdout.decode("utf-8", "backslashreplace")


def _replay(name: str, work: Path, found: Path) -> dict[str, Any]:
    shutil.rmtree(work / "folder")
    subprocess.run(
        [sys.executable, "-m", "tests.fuzz.replay", name, str(work), str(CORPUS / name), str(found)],
        cwd=REPOSITORY,
        env=_environment(work),
        timeout=SLACK_SECONDS,
        check=True,
    )
    counts: dict[str, Any] = json.loads((work / "report.json").read_bytes())
    return counts


def _minimize(name: str, work: Path, found: Path) -> None:
    """Merge the corpus and what was found into the smallest set, and put that in the corpus's place."""
    merged = work / "merged"
    merged.mkdir()
    _explore(name, work, "-merge=1", str(merged), str(CORPUS / name), str(found))
    given = {path.name: path.read_bytes() for path in (CORPUS / name).iterdir() if HANDWRITTEN.match(path.name)}
    for path in (CORPUS / name).iterdir():
        if path.name not in given:
            path.unlink()
    for path in merged.iterdir():
        if path.read_bytes() not in given.values():
            (CORPUS / name / path.name[:12]).write_bytes(path.read_bytes())


def _environment(work: Path) -> dict[str, str]:
    """No proxy, token or home of whoever fuzzes, and one thread."""
    return {
        "PATH": os.defpath,
        "HOME": str(work),
        "TMPDIR": str(work),
        "HALLMARK_HOME": str(work / "folder"),
        "HF_HOME": str(work / "folder"),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Sets in another order would be another run.
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def main() -> int:
    """Fuzz the named targets, or all, one after the other; 1 where one broke or stayed below its floor."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; all, where none is named")
    parser.add_argument("--runs", type=int, help="executions of each; those of `make test`, where not given")
    parser.add_argument("--seconds", type=int, help="seconds for each instead")
    parser.add_argument("--keep", action="store_true", help="keep what was found in the corpus, minimized")
    arguments = parser.parse_args()
    status = 0
    print(f"{'parser':24} {'executions':>10} {'per second':>10} {'branches':>9} {'covered':>8}")
    for name in arguments.names or names():
        target = load(name)
        told = fuzz(name, arguments.runs or target.runs, arguments.seconds, arguments.keep)
        speed = told.executions // max(told.seconds, 1)
        print(f"{name:24} {told.executions:10} {speed:10} {told.branches:9} {told.coverage:7.1f}%", flush=True)
        if told.broken or told.coverage < target.floor:
            status = 1
            print("\n".join(told.said.splitlines()[-40:]) if told.broken else "\n".join(told.missing))
            print(f"{name}: {told.broken or f'below its floor of {target.floor} %'}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
