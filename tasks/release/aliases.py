"""MLflow's aliases as the projection of the record of what is champion."""

from collections.abc import Callable

from tasks.errors import NotFound, RegistryUnavailable
from tasks.release.current import Current, current_name
from tasks.release.registry import Registry

ROUNDS = 3
"""Tries at agreement: one sets, one sees that it holds, one is left for somebody who moved an alias in between."""


def reconcile(current: Current, registry: Registry, progress: Callable[[str], None]) -> None:
    """Set `champion` and `previous` of every name as the record says, and take `challenger` off a champion.

    Aliases that agree are not touched, nor are those that people added; a previous version that somebody deleted has
    none. Raises RegistryUnavailable where they do not agree after some rounds, and NotFound, when all others are set,
    where a champion is gone from MLflow.
    """
    for _ in range(ROUNDS):
        wrong = [
            (name, alias, version) for name in current.names for alias, version in _differences(current, name, registry)
        ]
        if not wrong:
            _check_champions(current, registry)
            return
        for name, alias, version in wrong:
            registry.set_alias(name, alias, version)
            progress(f"{name}: {alias} is version {version}" if version else f"{name}: no {alias}")
    raise RegistryUnavailable("MLflow's aliases were moved by somebody else while they were set; try again.")


def _differences(current: Current, name: str, registry: Registry) -> list[tuple[str, str | None]]:
    names, found = current.names[name], registry.aliases(name)
    marks = {"champion": names.champion, "previous": names.previous}
    wanted: dict[str, str | None] = {
        alias: mark.version
        for alias, mark in marks.items()
        # Only a version that is there has an alias, so what agrees need not be asked for.
        if mark and (found.get(alias) == mark.version or registry.has_version(name, mark.version))
    }
    wanted.setdefault("previous", None)
    if found.get("challenger") == names.champion.version:
        wanted["challenger"] = None
    return [(alias, version) for alias, version in wanted.items() if found.get(alias) != version]


def _check_champions(current: Current, registry: Registry) -> None:
    for name, names in current.names.items():
        champion = names.champion
        if not registry.has_version(name, champion.version):
            raise NotFound(
                f"{name} has no version {champion.version} any more, which is its champion by "
                f"{current_name(current.repository)}; release commit {champion.commit} again by {champion.recipe!r}."
            )
