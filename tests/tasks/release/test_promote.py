"""What is champion: the record first, the aliases after it, through crashes, blocks and steps back."""

import pytest
from mlflow import MlflowClient

from tasks.errors import Corrupt, InvalidRecipe, NotFound
from tasks.release.aliases import reconcile
from tasks.release.current import last_released_commit, read_current
from tasks.release.register import register
from tasks.release.registry import Registry, open_registry
from tasks.release.roll_back import RollBackParameters, roll_back
from tests.tasks.release.releases import Maker

pytestmark = pytest.mark.servers

OTHER = "b" * 40
# What is champion does not depend on the kind of store; recovery after a crash is tested on both.
one_store = pytest.mark.parametrize("maker", ["folder"], indirect=True)


def aliases(maker: Maker, client: MlflowClient, target: str) -> dict[str, str]:
    return dict(client.get_registered_model(f"{maker.repository.replace('/', '--')}--{target}").aliases)


def release(maker: Maker, run: str, words: dict[str, str], commit: str = "a" * 40, **klds: float) -> dict[str, object]:
    _, context = maker.register(run, words, {name.replace("_", "-"): value for name, value in klds.items()}, commit)
    return maker.promote(context)


@one_store
def test_a_new_release_moves_champion_and_previous(maker: Maker, client: MlflowClient) -> None:
    assert last_released_commit(maker.store, maker.repository, "demo") is None
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    release(maker, "r2", {"toy-a": "two", "toy-b": "uno"}, OTHER)
    assert aliases(maker, client, "toy-a") == {"champion": "2", "previous": "1"}
    # toy-b has the same bytes as before: still the same version, and nothing was champion before it.
    assert aliases(maker, client, "toy-b") == {"champion": "1"}
    assert last_released_commit(maker.store, maker.repository, "demo") == OTHER
    assert last_released_commit(maker.store, maker.repository, "another") is None


@one_store
def test_a_blocked_target_keeps_its_old_champion(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    told = release(maker, "r2", {"toy-a": "two", "toy-b": "due"}, OTHER, toy_b=0.3)
    assert aliases(maker, client, "toy-a") == {"champion": "2", "previous": "1"}
    assert aliases(maker, client, "toy-b") == {"champion": "1"}
    assert [name.rpartition("--")[2] for name in told["promoted"]] == ["toy-a"]  # type: ignore[attr-defined]


def test_a_crash_between_two_aliases_is_finished_by_the_retry(
    maker: Maker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    _, context = maker.register("r2", {"toy-a": "two", "toy-b": "due"}, commit=OTHER)
    calls: list[tuple[str, str, str | None]] = []
    honest = Registry.set_alias

    def dies_after_one(self: Registry, name: str, alias: str, version: str | None) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append((name, alias, version))
        honest(self, name, alias, version)

    monkeypatch.setattr(Registry, "set_alias", dies_after_one)
    with pytest.raises(KeyboardInterrupt):
        maker.promote(context)
    found = [aliases(maker, client, target) for target in ("toy-a", "toy-b")]
    assert sorted(aliases["champion"] for aliases in found) == ["1", "2"]
    monkeypatch.setattr(Registry, "set_alias", honest)
    assert len(maker.promote(context)["promoted"]) == 2
    for target in ("toy-a", "toy-b"):
        assert aliases(maker, client, target) == {"champion": "2", "previous": "1"}


@one_store
def test_aliases_moved_by_hand_are_set_right_and_foreign_ones_left_alone(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one"})
    release(maker, "r2", {"toy-a": "two"}, OTHER)
    name = f"{maker.repository.replace('/', '--')}--toy-a"
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "canary", "1")
    reconcile(read_current(maker.store, maker.repository), maker.store, open_registry(), lambda message: None)
    assert aliases(maker, client, "toy-a") == {"champion": "2", "previous": "1", "canary": "1"}


@one_store
def test_roll_back_makes_the_previous_champion_again(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    release(maker, "r2", {"toy-a": "two", "toy-b": "uno"}, OTHER)
    parameters = RollBackParameters(repository=maker.repository, release="r2")
    for _ in range(2):
        roll_back(parameters, repeated := maker.context("roll-back"))
        assert aliases(maker, client, "toy-a") == {"champion": "1"}
        assert aliases(maker, client, "toy-b") == {"champion": "1"}
    assert repeated.messages[-1] == "r2 was rolled back before; nothing is changed"
    # What was taken back is not released again on its own: its commit is still the last one released.
    assert last_released_commit(maker.store, maker.repository, "demo") == OTHER
    with pytest.raises(InvalidRecipe, match="no champion before r1"):
        roll_back(RollBackParameters(repository=maker.repository, release="r1"), maker.context("roll-back"))
    with pytest.raises(NotFound, match="no release 'r22'.*did you mean 'r2'"):
        roll_back(RollBackParameters(repository=maker.repository, release="r22"), maker.context("roll-back"))


@one_store
@pytest.mark.parametrize("undo", [False, True])
def test_a_roll_back_that_could_change_nothing_is_refused(maker: Maker, client: MlflowClient, undo: bool) -> None:
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    release(maker, "r2", {"toy-a": "two"}, OTHER)
    release(maker, "r3", {"toy-a": "three"}, "c" * 40)
    before = read_current(maker.store, maker.repository)
    for faults, message in (
        ({"release": "r2"}, r"is of the release r2, so .* \(there are: toy-a, of r3; toy-b, of r1\)\.$"),
        ({"release": "r3", "targets": ("toy-a", "toy-b")}, r"'toy-b' has no champion of the release r3"),
        ({"release": "r3", "targets": ("toy-aa",)}, r"'toy-aa' has no .*'targets' \(did you mean 'toy-a'\?\)\.$"),
    ):
        asked = RollBackParameters.model_validate({"repository": maker.repository, "undo": undo, **faults})
        with pytest.raises(NotFound, match=message):
            roll_back(asked, maker.context("roll-back"))
    assert read_current(maker.store, maker.repository) == before
    assert aliases(maker, client, "toy-a") == {"champion": "3", "previous": "2"}


@one_store
def test_what_was_rolled_back_is_promoted_again_only_by_undo(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    release(maker, "r2", {"toy-a": "two", "toy-b": "due"}, OTHER)
    parameters = RollBackParameters(repository=maker.repository, release="r2")
    told = roll_back(parameters, maker.context("roll-back"))
    names = [f"{maker.repository.replace('/', '--')}--{target}" for target in ("toy-a", "toy-b")]
    assert told["champions"] == dict.fromkeys(names, "1")
    # The files of another commit are the same: only its README was changed.
    _, context = maker.register("r3", {"toy-a": "two", "toy-b": "due"}, commit="c" * 40)
    promoted = maker.promote(context)
    assert (promoted["promoted"], promoted["withheld"]) == ([], {"toy-a": "r2", "toy-b": "r2"})
    assert aliases(maker, client, "toy-a") == {"champion": "1", "challenger": "2"}
    undo = parameters.model_copy(update={"undo": True, "targets": ("toy-a",)})
    for changed in ({names[0]: "2"}, {}):
        assert roll_back(undo, maker.context("undo"))["champions"] == changed
        assert aliases(maker, client, "toy-a") == {"champion": "2", "previous": "1"}
        assert aliases(maker, client, "toy-b") == {"champion": "1", "challenger": "2"}
    # The release can be rolled back as before.
    roll_back(parameters.model_copy(update={"targets": ("toy-a",)}), maker.context("roll-back"))
    assert aliases(maker, client, "toy-a") == {"champion": "1"}


@one_store
def test_the_undo_of_a_version_that_somebody_deleted_waits_until_its_files_are_registered_again(
    maker: Maker, client: MlflowClient
) -> None:
    release(maker, "r1", {"toy-a": "one"})
    release(maker, "r2", {"toy-a": "two"}, OTHER)
    parameters = RollBackParameters(repository=maker.repository, release="r2")
    roll_back(parameters, maker.context("roll-back"))
    client.delete_model_version(f"{maker.repository.replace('/', '--')}--toy-a", "2")
    before = read_current(maker.store, maker.repository)
    undo = parameters.model_copy(update={"undo": True})
    with pytest.raises(NotFound, match=f"no version in MLflow has the files .* r2; release commit {OTHER} again"):
        roll_back(undo, maker.context("undo"))
    assert read_current(maker.store, maker.repository) == before
    release(maker, "r3", {"toy-a": "two"}, OTHER)
    made_again = aliases(maker, client, "toy-a")["challenger"]
    roll_back(undo, maker.context("undo"))
    assert aliases(maker, client, "toy-a") == {"champion": made_again, "previous": "1"}


@one_store
def test_a_commit_is_tried_again_where_a_target_failed(maker: Maker, client: MlflowClient) -> None:
    context = maker.context("r1")
    folder, artifact = maker.artifact("one")
    maker.give(context, "artifact:toy-a", folder, artifact)
    maker.give(context, "verdict:toy-a", *maker.verdict("toy-a", artifact, 0.01))
    register(maker.parameters("r1", ["toy-a", "toy-b"]), context)
    maker.promote(context)
    assert aliases(maker, client, "toy-a") == {"champion": "1"}
    assert last_released_commit(maker.store, maker.repository, "demo") is None


@one_store
def test_an_old_version_that_somebody_deleted_keeps_no_release_from_promotion(
    maker: Maker, client: MlflowClient
) -> None:
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    release(maker, "r2", {"toy-a": "two", "toy-b": "due"}, OTHER)
    client.delete_model_version(f"{maker.repository.replace('/', '--')}--toy-a", "1")
    release(maker, "r3", {"toy-a": "two", "toy-b": "tre"}, "c" * 40)
    assert aliases(maker, client, "toy-a") == {"champion": "2"}
    assert aliases(maker, client, "toy-b") == {"champion": "3", "previous": "2"}


@one_store
def test_nothing_goes_back_to_a_version_that_somebody_deleted(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one"})
    release(maker, "r2", {"toy-a": "two"}, OTHER)
    client.delete_model_version(f"{maker.repository.replace('/', '--')}--toy-a", "1")
    before = read_current(maker.store, maker.repository)
    with pytest.raises(NotFound, match="version 1, .*was deleted from MLflow"):
        roll_back(RollBackParameters(repository=maker.repository, release="r2"), maker.context("roll-back"))
    assert read_current(maker.store, maker.repository) == before
    assert aliases(maker, client, "toy-a") == {"champion": "2"}


@one_store
def test_a_champion_that_somebody_deleted_is_named_once_the_others_serve(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    name = f"{maker.repository.replace('/', '--')}--toy-a"
    client.delete_model_version(name, "1")
    _, context = maker.register("r2", {"toy-b": "due"}, commit=OTHER)
    with pytest.raises(NotFound, match=f"Version 1 of {name} was deleted from MLflow.*release"):
        maker.promote(context)
    assert aliases(maker, client, "toy-b") == {"champion": "2", "previous": "1"}
    # Its files are registered anew, and what it was before is gone.
    release(maker, "r3", {"toy-a": "one", "toy-b": "due"}, OTHER)
    assert aliases(maker, client, "toy-a") == {"champion": "2"}


@one_store
def test_a_model_that_was_deleted_begins_anew(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one"})
    name = f"{maker.repository.replace('/', '--')}--toy-a"
    client.delete_registered_model(name)
    told = release(maker, "r2", {"toy-a": "two"}, OTHER)
    # MLflow counts from 1 again, so the number alone does not tell which files are meant.
    assert aliases(maker, client, "toy-a") == {"champion": "1"}
    assert told["promoted"] == [name]
    assert read_current(maker.store, maker.repository).names[name].champion.commit == OTHER


def forge(maker: Maker, client: MlflowClient, source: str) -> str:
    """Replace version 1 of toy-a by one with the same tags and another source; return the model's name."""
    name = f"{maker.repository.replace('/', '--')}--toy-a"
    tags = dict(client.get_model_version(name, "1").tags)
    client.delete_registered_model(name)
    client.create_registered_model(name)
    client.create_model_version(name, source, tags=tags, await_creation_for=0)
    return name


ELSEWHERE = "s3://another-bucket/artifacts/x"


@one_store
def test_a_version_that_points_elsewhere_is_not_adopted(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one"})
    name = forge(maker, client, ELSEWHERE)
    release(maker, "r2", {"toy-a": "one"})
    assert aliases(maker, client, "toy-a") == {"champion": "2"}
    assert client.get_model_version(name, "2").source != ELSEWHERE


@one_store
def test_a_version_that_points_elsewhere_is_never_champion(maker: Maker, client: MlflowClient) -> None:
    _, context = maker.register("r1", {"toy-a": "one", "toy-b": "uno"})
    name = forge(maker, client, ELSEWHERE)
    before = read_current(maker.store, maker.repository)
    with pytest.raises(Corrupt, match=f"Version 1 of {name} in MLflow points to {ELSEWHERE}, .* release commit aaaa"):
        maker.promote(context)
    assert read_current(maker.store, maker.repository) == before
    assert not client.get_registered_model(name).aliases


@one_store
def test_an_alias_that_was_lost_is_not_set_on_a_version_that_points_elsewhere(
    maker: Maker, client: MlflowClient
) -> None:
    release(maker, "r1", {"toy-a": "one", "toy-b": "uno"})
    name = forge(maker, client, ELSEWHERE)
    _, context = maker.register("r2", {"toy-b": "due"}, commit=OTHER)
    with pytest.raises(Corrupt, match=f"Version 1 of {name} in MLflow points to {ELSEWHERE}"):
        maker.promote(context)
    assert not client.get_registered_model(name).aliases
    assert aliases(maker, client, "toy-b") == {"champion": "2", "previous": "1"}


@one_store
def test_nothing_goes_back_to_a_version_that_points_elsewhere(maker: Maker, client: MlflowClient) -> None:
    release(maker, "r1", {"toy-a": "one"})
    release(maker, "r2", {"toy-a": "two"}, OTHER)
    name = forge(maker, client, ELSEWHERE)
    before = read_current(maker.store, maker.repository)
    with pytest.raises(Corrupt, match=f"Version 1 of {name} in MLflow points to {ELSEWHERE}"):
        roll_back(RollBackParameters(repository=maker.repository, release="r2"), maker.context("roll-back"))
    assert read_current(maker.store, maker.repository) == before
