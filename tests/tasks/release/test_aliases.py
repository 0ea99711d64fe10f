"""Aliases that do not stay as they were set are reported, and not set for ever."""

from typing import cast

import pytest

from tasks.errors import RegistryUnavailable
from tasks.release.aliases import ROUNDS, reconcile
from tasks.release.current import Current, Mark, Names
from tasks.release.registry import RegisteredVersion, Registry
from tasks.store.base import Store

NAME = "acme--tiny--toy-a"
MARK = Mark(target="toy-a", version="2", release_id="r2", recipe="demo", commit="b" * 40, files_digest="b" * 64)


class Restless:
    """A registry in which somebody else moves `champion` back after each of the first `moves` times."""

    def __init__(self, moves: int) -> None:
        self.moves, self.sets, self.champion = moves, 0, "1"

    def aliases(self, name: str) -> dict[str, str]:
        return {"champion": self.champion}

    def find(self, name: str, version: str) -> RegisteredVersion:
        return RegisteredVersion(name, version, "", "", "")

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self.sets += 1
        if self.sets > self.moves:
            self.champion = version


def set_aliases(registry: Restless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.release.aliases.is_ours", lambda *_: True)
    current = Current(repository="acme/tiny", names={NAME: Names(champion=MARK)})
    reconcile(current, cast(Store, None), cast(Registry, registry), lambda message: None)


def test_an_alias_that_is_moved_again_and_again_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Restless(moves=100)
    with pytest.raises(RegistryUnavailable, match="Somebody else changed MLflow's aliases .*; try again"):
        set_aliases(registry, monkeypatch)
    assert registry.sets == ROUNDS


def test_an_alias_that_is_moved_once_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Restless(moves=1)
    set_aliases(registry, monkeypatch)
    assert (registry.champion, registry.sets) == ("2", 2)
