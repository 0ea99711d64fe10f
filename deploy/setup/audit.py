"""Scans every lock for known vulnerabilities, with pip-audit and a public database.

The exit status is 0 if there are none, 1 if there are some, and 69 (EX_UNAVAILABLE of sysexits(3)) if no database could
be reached. An empty answer alone would prove nothing, so the database must first know the vulnerabilities of CANARY.
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
from deploy.setup.steps import report

EXIT_VULNERABLE, EXIT_UNAVAILABLE = 1, 69

ACCEPTED = Path(__file__).with_name("accepted.toml")

SERVICES = ("pypi", "osv")
"""The databases that pip-audit knows. The first one that can be reached is used."""

CANARY = "jinja2==2.4.1"
"""A version with vulnerabilities known for ten years. A database that does not list them is not usable."""

SECONDS = "15"
"""How long pip-audit waits for one answer."""


class Unavailable(SetupError):
    """Raised when no database of vulnerabilities answers, or not for every package."""


@dataclass(frozen=True)
class Vulnerability:
    """A known vulnerability of a locked package.

    names: all its identifiers (CVE, PYSEC and others).
    fixed_by: the versions of the package that fix it.
    """

    package: str
    version: str
    names: frozenset[str]
    fixed_by: tuple[str, ...]

    def __str__(self) -> str:
        fix = f"fixed by {', '.join(self.fixed_by)}" if self.fixed_by else "not fixed by any version yet"
        return f"{self.package} {self.version}: {', '.join(sorted(self.names))}, {fix}"


def audit() -> int:
    """Report every known vulnerability of every lock, accepted ones with the reason. Return the exit status.

    Raises:
        Unavailable: if no database answers, or not for every package.
        SetupError: if the environment `audit` is missing, or an accepted vulnerability has no reason.
    """
    accepted = read_accepted(ACCEPTED)
    service = find_service()
    open_count = 0
    for name in [*names(), BOOTSTRAP]:
        found = scan(requirements(name), service)
        unaccepted = [each for each in found if not each.names & accepted.keys()]
        for each in found:
            reason = next((accepted[known] for known in each.names if known in accepted), None)
            report(f"{name}: {each}" + (f"; accepted: {reason}" if reason else ""))
        report(f"{name}: {len(unaccepted)} known vulnerabilities to fix")
        open_count += len(unaccepted)
    if open_count:
        report(
            "Raise the version in deploy/runtimes/floors.txt and run `make lock`, "
            f"or accept the vulnerability in {ACCEPTED.relative_to(PROJECT)}, with the reason."
        )
    return EXIT_VULNERABLE if open_count else 0


def find_service() -> str:
    """Return the first database that knows the vulnerabilities of CANARY. Raises Unavailable if there is none."""
    for service in SERVICES:
        try:
            if scan(CANARY, service):
                return service
        except Unavailable:
            continue
    raise Unavailable(
        f"No database of known vulnerabilities answers here ({', '.join(SERVICES)}), so nothing was scanned: "
        "run `make audit` on a machine that reaches one of them."
    )


def requirements(name: str) -> str:
    """Return the pins of a runtime's lock and of `installed_apart`, one `package==version` a line, without hashes."""
    lines = [*requirement_lines(lock_of(name).read_text()), *installed_apart(name)]
    pinned = [line.partition(" --hash")[0].rstrip(" \\") for line in lines if line[:1].isalnum()]
    return "\n".join(pinned)


def scan(wanted: str, service: str) -> list[Vulnerability]:
    """Return the known vulnerabilities of pinned requirements. Raises Unavailable if one could not be looked up."""
    python = environments() / "audit" / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(f"{wanted}\n")
        command: list[str | Path] = [python, "-m", "pip_audit", "--requirement", file, "--no-deps", "--disable-pip"]
        command += ["--vulnerability-service", service, "--timeout", SECONDS, "--format", "json"]
        command += ["--progress-spinner", "off", "--aliases", "on"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except OSError as error:
            raise SetupError(f"{python} cannot be started: run `python3 -m deploy.setup env audit`.") from error
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"pip-audit could not look up {service}: {last}; run `make audit` again later.") from error
    return vulnerabilities(answer, service)


def vulnerabilities(answer: Mapping[str, Any], service: str) -> list[Vulnerability]:
    """Return the vulnerabilities in pip-audit's answer. Raises Unavailable if it skipped a package."""
    skipped = [row["name"] for row in answer["dependencies"] if "skip_reason" in row]
    if skipped:
        raise Unavailable(
            f"{service} does not answer for {', '.join(skipped)}, so not all was scanned: "
            "run `make audit` again, or on another machine."
        )
    return [
        Vulnerability(
            row["name"], row["version"], frozenset([known["id"], *known["aliases"]]), tuple(known["fix_versions"])
        )
        for row in answer["dependencies"]
        for known in row["vulns"]
    ]


def read_accepted(path: Path) -> dict[str, str]:
    """Return the accepted vulnerabilities, name to reason. Raises SetupError for one without package or reason."""
    table = tomllib.loads(path.read_text())
    for name, entry in table.items():
        if not entry.get("package") or not entry.get("reason"):
            raise SetupError(f"{path}: {name} needs a `package` and a `reason`: say why it does not matter here.")
    return {name: entry["reason"] for name, entry in table.items()}
