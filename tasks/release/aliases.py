"""MLflow's aliases as the projection of the record of what is champion."""

from collections.abc import Callable

from tasks.errors import RegistryUnavailable
from tasks.release.current import Current
from tasks.release.registry import Registry

ROUNDS = 3
"""Tries at agreement: one sets, one sees that it holds, one is left for somebody who moved an alias in between."""


def reconcile(current: Current, registry: Registry, progress: Callable[[str], None]) -> None:
    """Set `champion` and `previous` of every name as the record says, and take `challenger` off a champion.

    Aliases that agree are not touched, nor are those that people added. Raises RegistryUnavailable where they do not
    agree after some rounds, and NotFound where a version of the record is gone from MLflow.
    """
    for _ in range(ROUNDS):
        wrong = [
            (name, alias, version) for name in current.names for alias, version in _differences(current, name, registry)
        ]
        if not wrong:
            return
        for name, alias, version in wrong:
            registry.set_alias(name, alias, version)
            progress(f"{name}: {alias} is version {version}" if version else f"{name}: no {alias}")
    raise RegistryUnavailable("MLflow's aliases were moved by somebody else while they were set; try again.")


def _differences(current: Current, name: str, registry: Registry) -> list[tuple[str, str | None]]:
    names, found = current.names[name], registry.aliases(name)
    wanted: dict[str, str | None] = {
        "champion": names.champion.version,
        "previous": names.previous.version if names.previous else None,
    }
    if found.get("challenger") == names.champion.version:
        wanted["challenger"] = None
    return [(alias, version) for alias, version in wanted.items() if found.get(alias) != version]
