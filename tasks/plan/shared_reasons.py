"""Finds targets that ended for one reason, so that it is reported once and not ten times."""

from collections.abc import Mapping, Sequence

SHORT = 40
"""A reason with at most so many characters is repeated: a reference to another target is not shorter."""


def causes(reasons: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons by target, in the same words for all targets with one cause.

    The target `gguf-f16` says `convert: no memory`, and all that is made from it says `gguf-f16.convert: no memory`.
    """
    said = set(reasons.values())
    return {name: whole if (whole := f"{name}.{reason}") in said else reason for name, reason in reasons.items()}


def first_with(reasons: Mapping[str, str]) -> dict[str, str]:
    """Return, for each target whose long reason an earlier target has given, the name of that target."""
    first: dict[str, str] = {}
    found = {}
    for name, cause in causes(reasons).items():
        earlier = first.setdefault(cause, name)
        if earlier != name and len(cause) > SHORT:
            found[name] = earlier
    return found


def list_names(names: Sequence[str]) -> str:
    """Return the names as a part of a sentence: `a`, `a and b`, `a, b and c`."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
