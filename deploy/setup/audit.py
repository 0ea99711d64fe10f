"""Scan every lock for known holes, with pip-audit and a database of them that this machine reaches.

Exit status: 0 none, 1 a known hole, 69 (EX_UNAVAILABLE of sysexits(3)) where nothing could be looked up.
"""

import json
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.setup.errors import SetupError
from deploy.setup.places import PROJECT, environments
from deploy.setup.requirements import requirement_lines
from deploy.setup.runtimes import BOOTSTRAP, installed_apart, lock_of, names
from deploy.setup.steps import tell

EXIT_HOLE, EXIT_UNAVAILABLE = 1, 69

ACCEPTED = Path(__file__).with_name("accepted.toml")

SERVICES = ("pypi", "osv")
"""Databases that pip-audit knows; the first that can tell is asked."""

CANARY = "jinja2==2.4.1"
"""A release with holes known for ten years: a database that does not name them knows nothing, whatever it answers."""

SECONDS = "15"
"""How long pip-audit waits for one answer."""


class Unavailable(SetupError):
    """Raised when no database of known holes answers for what was asked."""


@dataclass(frozen=True)
class Hole:
    """A known hole in a locked package: all the names it has, and the versions that close it."""

    package: str
    version: str
    names: frozenset[str]
    closed_by: tuple[str, ...]

    def __str__(self) -> str:
        closed = f"closed by {', '.join(self.closed_by)}" if self.closed_by else "closed by no version yet"
        return f"{self.package} {self.version}: {', '.join(sorted(self.names))}, {closed}"


def audit() -> int:
    """Tell every known hole of every lock, accepted ones with the reason; return the exit status.

    Raises:
        Unavailable: where no database answers, or not for every package.
        SetupError: where the environment `audit` is missing or an accepted hole has no reason.
    """
    accepted = read_accepted(ACCEPTED)
    service = find_service()
    open_holes = 0
    for name in [*names(), BOOTSTRAP]:
        found = scan(requirements(name), service)
        unaccepted = [hole for hole in found if not hole.names & accepted.keys()]
        for hole in found:
            reason = next((accepted[known] for known in hole.names if known in accepted), None)
            tell(f"{name}: {hole}" + (f"; accepted: {reason}" if reason else ""))
        tell(f"{name}: {len(unaccepted)} known holes to close")
        open_holes += len(unaccepted)
    if open_holes:
        tell(
            "Raise the version in deploy/runtimes/floors.txt and run `make lock`, "
            f"or accept it in {ACCEPTED.relative_to(PROJECT)}."
        )
    return EXIT_HOLE if open_holes else 0


def find_service() -> str:
    """Return the first database that knows the canary's holes."""
    for service in SERVICES:
        try:
            if scan(CANARY, service):
                return service
        except Unavailable:
            continue
    raise Unavailable(
        f"No database of known holes answers here ({', '.join(SERVICES)}), so nothing was scanned: "
        "run `make audit` on a machine that reaches one of them."
    )


def requirements(name: str) -> str:
    """Return what a runtime's lock pins, and what is installed apart, one `package==version` a line without hashes."""
    lines = [*requirement_lines(lock_of(name).read_text()), *installed_apart(name)]
    pinned = [line.partition(" --hash")[0].rstrip(" \\") for line in lines if line[:1].isalnum()]
    return "\n".join(pinned)


def scan(wanted: str, service: str) -> list[Hole]:
    """Return the known holes of pinned requirements; raises Unavailable where one of them could not be looked up."""
    python = environments() / "audit" / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(f"{wanted}\n")
        command: list[str | Path] = [python, "-m", "pip_audit", "--requirement", file, "--no-deps", "--disable-pip"]
        command += ["--vulnerability-service", service, "--timeout", SECONDS, "--format", "json"]
        command += ["--progress-spinner", "off", "--aliases", "on"]
        try:
            said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except OSError as error:
            raise SetupError(f"{python} cannot be started: run `python3 -m deploy.setup env audit`.") from error
    try:
        report = json.loads(said.stdout)
    except ValueError as error:
        last = (said.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Unavailable(f"pip-audit could not look up {service}: {last}; run `make audit` again later.") from error
    return holes(report, service)


def holes(report: Mapping[str, Any], service: str) -> list[Hole]:
    """Return the holes in pip-audit's report; raises Unavailable where it skipped a package."""
    skipped = [row["name"] for row in report["dependencies"] if "skip_reason" in row]
    if skipped:
        raise Unavailable(
            f"{service} does not answer for {', '.join(skipped)}, so not all was scanned: "
            "run `make audit` where it does."
        )
    return [
        Hole(row["name"], row["version"], frozenset([known["id"], *known["aliases"]]), tuple(known["fix_versions"]))
        for row in report["dependencies"]
        for known in row["vulns"]
    ]


def read_accepted(path: Path) -> dict[str, str]:
    """Return the accepted holes' names and reasons; raises SetupError for one without a reason."""
    table = tomllib.loads(path.read_text())
    for name, entry in table.items():
        if not entry.get("package") or not entry.get("reason"):
            raise SetupError(f"{path}: {name} needs a `package` and a `reason`: say why it does not matter here.")
    return {name: entry["reason"] for name, entry in table.items()}
