"""Targets that passed and are not promoted, because a person rolled back the same files.

The next commit of a model may change nothing but its README. The files are then those of the release before. Without
this rule, the next release would make the version that a person took back the champion again. `roll_back` with `undo`
makes it champion again.
"""

from collections.abc import Mapping

from tasks.plan.shared_reasons import list_names
from tasks.release.current import Current
from tasks.release.record import Release, ReleasedTarget


def rolled_back_from(current: Current, target: ReleasedTarget) -> str | None:
    """Return the id of the release from which a person rolled back the target's files, or None."""
    roles = current.names.get(target.registered_name or "")
    marks = roles.rolled_back if roles else ()
    return next((mark.release_id for mark in marks if mark.files_digest == target.files_digest), None)


def withheld(current: Current, release: Release) -> dict[str, str]:
    """Return the targets that passed and are not promoted, each with the release from which it was rolled back."""
    found = ((target.target, rolled_back_from(current, target)) for target in release.passed)
    return {name: earlier for name, earlier in found if earlier is not None}


def say_withheld(targets: Mapping[str, str]) -> str:
    """Return what `withheld` found as one line, which ends with what promotes the targets."""
    releases: dict[str, list[str]] = {}
    for name, release in targets.items():
        releases.setdefault(release, []).append(name)
    clauses = (f"{list_names(names)}, rolled back from release {release}" for release, names in releases.items())
    return f'Not promoted: {"; ".join(clauses)}. To make them champion again, run roll_back with "undo": true.'
