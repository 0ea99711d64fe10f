"""The scan for known vulnerabilities: what it reports, and that a database that cannot answer never counts as clean.

The databases change by the day and are not reachable everywhere, so pip-audit is played here; `make audit` runs it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.setup import audit
from deploy.setup.errors import SetupError
from deploy.setup.places import PROJECT
from deploy.setup.runtimes import names

PLAYED = """
import json, pathlib, sys
service = sys.argv[sys.argv.index("--vulnerability-service") + 1]
wanted = pathlib.Path(sys.argv[sys.argv.index("--requirement") + 1]).read_text().split()
known = json.loads(pathlib.Path(__file__).with_name("known.json").read_text())
if service not in known:
    sys.exit("no route to " + service)
rows = []
for name, _, version in (line.partition("==") for line in wanted if "==" in line):
    answer = known[service].get(name, [])
    rows.append({"name": name, "skip_reason": "not there"} if answer is None
                else {"name": name, "version": version, "vulns": answer})
print(json.dumps({"dependencies": rows, "fixes": []}))
"""
HOLE = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"], "description": ""}
CANARY = {"jinja2": [HOLE]}


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder whose pip-audit answers what the test writes into the file that is returned."""
    program = tmp_path / "envs" / "audit" / "bin" / "python"
    program.parent.mkdir(parents=True)
    (program.parent / "played.py").write_text(PLAYED)
    program.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" "{program.parent}/played.py" "$@"\n')
    program.chmod(0o700)
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    monkeypatch.delenv("HALLMARK_ENVS", raising=False)
    return program.parent / "known.json"


def run() -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-m", "deploy.setup", "audit"], cwd=PROJECT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def found(package: str) -> list[audit.Vulnerability]:
    return [each for each in audit.scan(f"{package}==1.0", "pypi") if each.package == package]


def test_without_a_database_it_says_so_and_ends_with_a_status_of_its_own(databases: Path) -> None:
    databases.write_text("{}")
    status, _, said = run()
    assert status == 69
    assert said.startswith("set-up: No database of known vulnerabilities answers here") and said.count("\n") == 1


def test_one_that_does_not_know_the_canary_is_none(databases: Path) -> None:
    databases.write_text(json.dumps({"pypi": {}, "osv": {"jinja2": None}}))
    assert run()[0] == 69


def test_the_next_database_is_asked_where_the_first_does_not_answer(databases: Path) -> None:
    databases.write_text(json.dumps({"osv": CANARY}))
    assert audit.find_service() == "osv"


def test_a_package_that_was_skipped_is_no_clean_one(databases: Path) -> None:
    databases.write_text(json.dumps({"pypi": {**CANARY, "swift": None}}))
    with pytest.raises(audit.Unavailable, match="pypi does not answer for swift"):
        audit.scan(audit.requirements("stack"), "pypi")


def test_vulnerabilities_in_locks_and_in_what_is_installed_apart_are_reported(databases: Path) -> None:
    databases.write_text(json.dumps({"pypi": {**CANARY, "torch": [HOLE], "diskcache": [{**HOLE, "id": "CVE-9"}]}}))
    status, told, _ = run()
    assert status == 1
    assert "torch: torch 2" in told and "CVE-1, PYSEC-1, fixed by 2.0" in told
    assert "llama-cpp: diskcache 5.6.3: CVE-1, CVE-9" in told


def test_an_accepted_vulnerability_is_reported_with_its_reason_and_stops_nothing(
    databases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted = {"id": "PYSEC-2", "aliases": ["CVE-2025-69872"], "fix_versions": []}
    databases.write_text(json.dumps({"pypi": {**CANARY, "diskcache": [accepted]}}))
    monkeypatch.setattr("deploy.setup.audit.names", lambda: ["llama-cpp"])
    monkeypatch.setattr(audit, "requirements", lambda name: "diskcache==5.6.3")
    assert audit.audit() == 0
    assert "not fixed by any version yet; accepted: No version closes it" in capsys.readouterr().out


def test_every_accepted_vulnerability_has_a_reason_and_is_of_a_locked_package(tmp_path: Path) -> None:
    import tomllib

    path = audit.ACCEPTED
    assert audit.read_accepted(path)
    locked = "\n".join(audit.requirements(name) for name in names())
    for entry in tomllib.loads(path.read_text()).values():
        assert f"\n{entry['package']}==" in locked
    (tmp_path / "accepted.toml").write_text('[CVE-1]\npackage = "x"\n')
    with pytest.raises(SetupError, match="CVE-1 needs a `package` and a `reason`"):
        audit.read_accepted(tmp_path / "accepted.toml")


def test_what_is_scanned_are_versions_without_hashes() -> None:
    scanned: Any = audit.requirements("torch").splitlines()
    assert "torch==2.13.0" in scanned and "transformers==5.23.0" in scanned
    assert all("==" in line and "sha256" not in line for line in scanned)
