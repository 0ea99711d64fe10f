"""What a person rolled back stays so: no later release of the same files promotes it."""

from datetime import UTC, datetime

import pytest

from tasks.errors import InvalidRecipe
from tasks.release.current import Current
from tasks.release.promote import promoted
from tasks.release.record import Release, ReleasedTarget
from tasks.release.roll_back import RollBackParameters, rolled_back
from tasks.release.withheld import rolled_back_from, say_withheld, withheld

NAME = "acme--tiny--toy-a"


def release(run: str, files: str, version: str, recipe: str = "demo") -> Release:
    """Return a release of one target, with files of which `files` is a letter of the digest."""
    target = ReleasedTarget(
        target="toy-a",
        format="toy",
        outcome="passed",
        reason="why",
        files_digest=files * 64,
        registered_name=NAME,
        version=version,
    )
    return Release(
        release_id=run,
        repository="acme/tiny",
        commit=run[-1] * 40,
        licence="mit",
        recipe=recipe,
        created=datetime(2026, 11, 30, tzinfo=UTC),
        targets=(target,),
    )


def roll_back(current: Current, run: str) -> Current:
    return rolled_back(current, RollBackParameters(repository="acme/tiny", release=run))


@pytest.fixture
def taken_back() -> Current:
    """The record after two releases and a roll-back of the second."""
    current = promoted(Current(repository="acme/tiny"), release("r1", "a", "1"))
    return roll_back(promoted(current, release("r2", "b", "2")), "r2")


@pytest.mark.parametrize("again", [release("r3", "b", "2"), release("r3", "b", "2", "other"), release("r2", "b", "2")])
def test_the_same_files_are_not_promoted_again(taken_back: Current, again: Release) -> None:
    """A commit that changes only the README, another recipe, or a task `promote` that somebody cleared."""
    after = promoted(taken_back, again)
    assert after.names == taken_back.names
    assert after.names[NAME].champion.version == "1"
    assert withheld(after, again) == {"toy-a": "r2"}
    assert after.recipes[again.recipe].release_id == again.release_id, "a watcher does not try the commit again"


def test_files_that_were_made_again_are_not_promoted_under_a_new_version(taken_back: Current) -> None:
    assert promoted(taken_back, release("r3", "b", "3")).names == taken_back.names


def test_a_target_that_keeps_its_champion_does_not_stop_the_next(taken_back: Current) -> None:
    """Of four targets, the files of the first were rolled back, the second is champion already, and two are new."""
    again = release("r3", "b", "2")
    (first,) = again.targets
    second, third, fourth = (
        first.model_copy(update={"target": f"toy-{name}", "registered_name": f"acme--tiny--toy-{name}"})
        for name in "bcd"
    )
    before = promoted(taken_back, again.model_copy(update={"targets": (second,)}))
    later = again.model_copy(update={"release_id": "r4", "targets": (first, second, third, fourth)})
    after = promoted(before, later)
    assert {name: names.champion.release_id for name, names in after.names.items()} == {
        NAME: "r1",
        "acme--tiny--toy-b": "r3",
        "acme--tiny--toy-c": "r4",
        "acme--tiny--toy-d": "r4",
    }


def test_a_champion_that_was_made_again_does_not_come_before_itself() -> None:
    current = promoted(Current(repository="acme/tiny"), release("r1", "a", "1"))
    again = promoted(current, release("r2", "a", "2")).names[NAME]
    assert (again.champion.version, again.previous) == ("2", None)
    current = promoted(current, release("r2", "b", "2"))
    again = promoted(current, release("r3", "b", "3")).names[NAME]
    assert again.champion.version == "3" and again.previous and again.previous.version == "1"


def test_other_files_are_promoted_and_the_roll_back_is_not_forgotten(taken_back: Current) -> None:
    after = promoted(taken_back, release("r3", "c", "3"))
    assert (after.names[NAME].champion.version, after.names[NAME].previous) == ("3", taken_back.names[NAME].champion)
    assert withheld(after, release("r3", "c", "3")) == {}
    assert withheld(after, release("r4", "b", "2")) == {"toy-a": "r2"}
    twice = roll_back(after, "r3")
    assert [mark.version for mark in twice.names[NAME].rolled_back] == ["2", "3"]
    assert twice.names[NAME].champion.version == "1"


def test_a_release_goes_back_once(taken_back: Current) -> None:
    assert roll_back(taken_back, "r2") == taken_back
    with pytest.raises(InvalidRecipe, match="no champion before r1"):
        roll_back(taken_back, "r1")


def test_a_target_that_did_not_pass_is_not_withheld(taken_back: Current) -> None:
    (target,) = release("r3", "b", "2").targets
    blocked = target.model_copy(update={"outcome": "blocked", "registered_name": None, "version": None})
    assert rolled_back_from(taken_back, blocked) is None
    assert withheld(taken_back, release("r3", "b", "2").model_copy(update={"targets": (blocked,)})) == {}


def test_the_line_names_targets_and_releases() -> None:
    assert say_withheld({"a": "r2", "b": "r3", "c": "r2"}) == (
        "Not promoted: a and c, rolled back from release r2; b, rolled back from release r3. "
        'To make them champion again, run roll_back with "undo": true.'
    )
