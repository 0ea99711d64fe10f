"""Sets MLflow's aliases as the record in the store says. The record decides; the aliases follow."""

from collections.abc import Callable

from tasks.errors import NotFound, RegistryUnavailable
from tasks.release.current import Current, current_name
from tasks.release.registry import Registry

ROUNDS = 3
"""The first round sets the aliases, the second checks them. The third is for aliases that somebody moved meanwhile."""


def reconcile(current: Current, registry: Registry, progress: Callable[[str], None]) -> None:
    """Set `champion` and `previous` of every registered model as the record says; remove `challenger` from a champion.

    Aliases that are right are not set again. Aliases that people added are left alone. A previous version that somebody
    deleted gets no alias.

    Raises RegistryUnavailable where the aliases are still wrong after all rounds, and NotFound where a champion was
    deleted from MLflow; all other aliases are set by then.
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
    raise RegistryUnavailable("Somebody else changed MLflow's aliases while they were being set; try again.")


def _differences(current: Current, name: str, registry: Registry) -> list[tuple[str, str | None]]:
    names, found = current.names[name], registry.aliases(name)
    marks = {"champion": names.champion, "previous": names.previous}
    wanted: dict[str, str | None] = {
        alias: mark.version
        for alias, mark in marks.items()
        # Only a version that exists can have an alias, so a right alias needs no request.
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
                f"Version {champion.version} of {name} was deleted from MLflow, but {current_name(current.repository)} "
                f"says that it is champion; release commit {champion.commit} again with the recipe {champion.recipe!r}."
            )
