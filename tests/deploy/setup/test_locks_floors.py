"""No lock holds a version below its floor in `floors.txt`; each floor has its reason."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from deploy.setup.places import RUNTIMES
from deploy.setup.runtimes import BOOTSTRAP, installed_apart, lock_of, names

FLOOR = re.compile(r"(?P<floor>\S+>=\S+)  # (?P<why>.{20,})")
LINES = [line for line in (RUNTIMES / "floors.txt").read_text().splitlines() if not line.startswith("#")]
FLOORS = [Requirement(line.partition("#")[0]) for line in LINES]


def pinned(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;]+)", text, re.MULTILINE))


def below(text: str) -> list[str]:
    """What a lock pins below its floor."""
    versions = pinned(text)
    return [
        f"{floor.name}=={versions[floor.name]}, not {floor.specifier}"
        for floor in FLOORS
        if floor.name in versions and not floor.specifier.contains(Version(versions[floor.name]), prereleases=True)
    ]


def held_by(name: str) -> str:
    """What a runtime's environment holds: what is locked, and what is installed apart."""
    return "\n".join([lock_of(name).read_text(), *installed_apart(name)])


@pytest.mark.parametrize("name", [*names(), BOOTSTRAP])
def test_every_lock_is_above_the_floors(name: str) -> None:
    assert below(held_by(name)) == []


def test_a_version_below_its_floor_is_seen() -> None:
    assert below("numpy==2.0\njinja2==3.1.5 \\\n    --hash=sha256:00\n") == ["jinja2==3.1.5, not >=3.1.6"]


@pytest.mark.parametrize("line", LINES)
def test_every_floor_says_why(line: str) -> None:
    assert FLOOR.fullmatch(line)


def test_no_floor_is_of_a_package_that_nothing_holds() -> None:
    held = set().union(*(pinned(held_by(name)) for name in [*names(), BOOTSTRAP]))
    assert {floor.name for floor in FLOORS} <= held
