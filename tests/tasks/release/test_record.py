"""Release records of version 1, in which a target had one verdict, and what is no record of any version."""

import json
from typing import Any

import pytest

from tasks.errors import Corrupt
from tasks.release.record import Release

RELEASE: dict[str, Any] = {
    "release_id": "r1",
    "repository": "acme/tiny",
    "commit": "a" * 40,
    "licence": "mit",
    "recipe": "demo",
    "created": "2026-11-22T12:00:00Z",
}
TARGET = {"target": "toy-a", "format": "toy", "outcome": "passed", "reason": "why"}


def read(**fields: Any) -> Release:
    return Release.read(json.dumps(RELEASE | fields), "The record x", "restore it from a backup")


def test_the_verdict_of_version_1_becomes_a_proof() -> None:
    (target,) = read(targets=[TARGET | {"verdict": "b" * 64}]).targets
    (proof,) = target.proofs
    assert (proof.outcome, proof.reason, proof.verdict) == ("passed", "why", "b" * 64)


def test_a_verdict_in_the_place_of_version_1_is_no_field_of_version_2() -> None:
    with pytest.raises(Corrupt, match=r"The record x .*targets.*verdict"):
        read(schema=2, targets=[TARGET | {"verdict": "b" * 64}])


@pytest.mark.parametrize("targets", [None, 3, "toy-a", {"toy-a": TARGET}, [3], ["toy-a"], [None], [[TARGET]]])
def test_targets_that_are_none_are_one_sentence(targets: Any) -> None:
    with pytest.raises(Corrupt, match="^The record x .*targets.*; restore it from a backup") as told:
        read(targets=targets)
    assert "\n" not in str(told.value)
