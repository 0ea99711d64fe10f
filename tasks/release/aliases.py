"""Sets MLflow's aliases as the record in the store says. The record decides; the aliases follow."""

from collections.abc import Callable

from tasks.errors import Corrupt, NotFound, RegistryUnavailable
from tasks.release.current import Current, Mark, current_name
from tasks.release.registry import Registry
from tasks.release.version_files import is_ours
from tasks.store.base import Store

ROUNDS = 3
"""The first round sets the aliases, the second checks them. The third is for aliases that somebody moved meanwhile."""


def reconcile(current: Current, store: Store, registry: Registry, progress: Callable[[str], None]) -> None:
    """Set `champion` and `previous` of every registered model as the record says; remove `challenger` from a champion.

    Aliases that are right are not set again. Aliases that people added are left alone. A version that somebody deleted,
    or that is not the artifact in the store, gets no alias.

    Raises RegistryUnavailable where the aliases are still wrong after all rounds, NotFound where a champion was deleted
    from MLflow, and Corrupt where a champion is not the artifact in the store; all other aliases are set by then.
    """
    for _ in range(ROUNDS):
        wrong = [
            (name, alias, version)
            for name in current.names
            for alias, version in _differences(current, name, store, registry)
        ]
        if not wrong:
            for name, names in current.names.items():
                if registry.aliases(name).get("champion") != names.champion.version:
                    check_version(name, names.champion, store, registry)
                    raise _deleted(name, names.champion, current)
            return
        for name, alias, version in wrong:
            registry.set_alias(name, alias, version)
            progress(f"{name}: {alias} is version {version}" if version else f"{name}: no {alias}")
    raise RegistryUnavailable("Somebody else changed MLflow's aliases while they were being set; try again.")


def check_version(name: str, mark: Mark, store: Store, registry: Registry) -> None:
    """Raise Corrupt if the version in MLflow is not the artifact in the store. A version that was deleted passes."""
    version = registry.find(name, mark.version)
    if version and not is_ours(version, mark.files_digest, store):
        raise Corrupt(
            f"Version {mark.version} of {name} in MLflow points to {version.source}, which is not its whole artifact "
            f"in the store {store.url}, so it cannot be champion; delete this version in MLflow and release commit "
            f"{mark.commit} again with the recipe {mark.recipe!r}."
        )


def _differences(current: Current, name: str, store: Store, registry: Registry) -> list[tuple[str, str | None]]:
    names, found = current.names[name], registry.aliases(name)

    def may_have(alias: str, mark: Mark) -> bool:
        # An alias that is right needs no request.
        if found.get(alias) == mark.version:
            return True
        version = registry.find(name, mark.version)
        return version is not None and is_ours(version, mark.files_digest, store)

    marks = {"champion": names.champion, "previous": names.previous}
    wanted: dict[str, str | None] = {
        alias: mark.version for alias, mark in marks.items() if mark and may_have(alias, mark)
    }
    wanted.setdefault("previous", None)
    if found.get("challenger") == names.champion.version:
        wanted["challenger"] = None
    return [(alias, version) for alias, version in wanted.items() if found.get(alias) != version]


def _deleted(name: str, champion: Mark, current: Current) -> NotFound:
    return NotFound(
        f"Version {champion.version} of {name} was deleted from MLflow, but {current_name(current.repository)} "
        f"says that it is champion; release commit {champion.commit} again with the recipe {champion.recipe!r}."
    )
