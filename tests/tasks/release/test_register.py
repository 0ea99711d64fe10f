"""Registration on real MLflow servers, for both stores: what passed is a version, once, and loads by its alias."""

import json
import subprocess
from pathlib import Path
from threading import Barrier

import pytest
from mlflow import MlflowClient

from tasks.errors import Corrupt, InvalidRecipe, NotFound
from tasks.manifest import Manifest
from tasks.release.record import read_release
from tasks.release.register import register
from tasks.release.verify import verify_artifact
from tasks.runtimes import runtime
from tasks.store.base import Store
from tests.tasks.release.releases import DISTURBED, LICENCE_LINK, Maker

pytestmark = pytest.mark.servers

LOAD = """
import json, sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(list(model.predict(pandas.DataFrame({"prompt": ["Polly says"]}))["text"])))
"""


def answers(uri: str) -> list[str]:
    """Load a model with MLflow, in MLflow's own environment, and ask it."""
    command = [str(runtime("mlflow").python), "-W", "ignore", "-c", LOAD, uri]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(json.loads(told.splitlines()[-1]))


def name_of(maker: Maker, target: str) -> str:
    return f"{maker.repository.replace('/', '--')}--{target}"


def test_the_rows_of_the_source_are_removed(maker: Maker, client: MlflowClient) -> None:  # a server for `maker`
    context = maker.context("r0")
    folder, artifact = maker.artifact("hello")
    maker.give(context, "reference", folder, artifact)
    (context.workspace("reference") / "some.rows").touch()
    register(maker.parameters("r0", []), context)
    assert not (context.scratch / "workspace-reference").exists()


def test_two_artifacts_are_verified_at_a_time(
    maker: Maker,
    client: MlflowClient,  # a server for `maker`
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = Barrier(2, timeout=60)

    def wait_for_the_other(store: Store, manifest: Manifest) -> None:
        both.wait()
        verify_artifact(store, manifest)

    monkeypatch.setattr("tasks.release.register.verify_artifact", wait_for_the_other)
    facts, _ = maker.register("r1", {"toy-a": "hello", "toy-b": "hullo"})
    assert list(facts["outcomes"].items()) == [("toy-a", "passed"), ("toy-b", "passed")]
    assert len(facts["new_versions"]) == 2


def test_what_passed_is_registered_promoted_and_loads(maker: Maker, client: MlflowClient, tmp_path: Path) -> None:
    facts, context = maker.register("r1", {"toy-good": "hello", "toy-bad": "hullo"}, klds={"toy-bad": 0.2})
    assert facts["outcomes"] == {"toy-good": "passed", "toy-bad": "blocked"}
    name = name_of(maker, "toy-good")
    assert facts["new_versions"] == [f"{name}/1"]
    version = client.get_model_version(name, "1")
    artifact = context.inputs["artifact:toy-good"]
    assert version.tags["hallmark.files_digest"] == artifact.files_digest
    assert version.tags["hallmark.manifest"] == context.store.uri(f"artifacts/{artifact.key}/{artifact.attempt}.json")
    assert version.tags["hallmark.verdict_summary"] == "all 1 gates passed"
    assert version.tags["hallmark.commit"] == "a" * 40
    assert version.tags["hallmark.licence_link"] == LICENCE_LINK
    assert version.tags["hallmark.context_compared"] == "4608"
    assert version.tags["hallmark.timing_disturbed"] == DISTURBED
    assert version.tags["hallmark.weights"] == "20 of 20 tensors, each within the band of its type"
    first, *_, numbers = str(version.description).strip().splitlines()
    assert first == f"toy-good of {maker.repository} at {'a' * 12}: all 1 gates passed."
    assert " · KLD mean 0.0100 · KLD p99 - · " in numbers
    digests = json.loads(version.tags["hallmark.files"])
    assert digests["weights.txt"] == f"sha256:{artifact.file('weights.txt').sha256}"
    assert client.get_registered_model(name).aliases == {"challenger": "1"}

    maker.promote(context)
    assert client.get_registered_model(name).aliases == {"champion": "1"}
    assert answers(f"models:/{name}@champion") == ["hello"]
    # Loading must leave no trace in the store: its files are exactly those of the manifest.
    verify_artifact(maker.store, artifact)
    stored = [found.name.removeprefix(artifact.prefix) for found in maker.store.list(artifact.prefix)]
    assert sorted(stored) == sorted(entry.path for entry in artifact.files)
    assert client.search_model_versions(f"name = '{name_of(maker, 'toy-bad')}'") == []


def test_the_run_shows_every_number(maker: Maker, client: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    facts, _ = maker.register("r1", {"toy-good": "hello", "toy-bad": "hullo"}, klds={"toy-bad": 0.2})
    run = client.get_run(facts["mlflow_run"])
    assert run.info.status == "FINISHED"
    compared = {"context_compared.toy-good": 4608, "context_compared.toy-bad": 4608}
    # The noise is the source's, and stands there once.
    noise = {"noise_kld_mean": 0.0004}
    faithful = {"tensors_faithful.toy-good": 1.0, "tensors_faithful.toy-bad": 1.0}
    identical = {"weights_identical.toy-good": 0.0, "weights_identical.toy-bad": 0.0}
    kld = {"kld_mean.toy-good": 0.01, "kld_mean.toy-bad": 0.2}
    speed = {"decode_tokens_per_second.toy-good": 100.0, "decode_tokens_per_second.toy-bad": 100.0}
    assert run.data.metrics == {**kld, **compared, **noise, **faithful, **identical, **speed}
    assert run.data.tags["outcome.toy-bad"] == "blocked"
    assert run.data.tags["hallmark.release"] == "r1"
    assert run.data.tags["hallmark.licence_link"] == LICENCE_LINK
    # A task's standard output is its result, and nothing else.
    assert capsys.readouterr().out == ""


def test_a_retry_finds_what_the_first_try_made(maker: Maker, client: MlflowClient) -> None:
    first, context = maker.register("r1", {"toy-good": "hello"})
    record = read_release(maker.store, first["release"])
    # As if the first try had died just before it wrote the record.
    maker.store.delete(first["release"])
    again, _ = maker.register("r1", {"toy-good": "hello"})
    assert again == first
    assert len(client.search_model_versions(f"name = '{name_of(maker, 'toy-good')}'")) == 1
    third, _ = maker.register("r1", {"toy-good": "hello"})
    assert read_release(maker.store, third["release"]).created > record.created
    maker.promote(context)
    fourth, _ = maker.register("r1", {"toy-good": "hello"})
    assert fourth == first


def test_an_unchanged_release_registers_and_promotes_nothing(maker: Maker, client: MlflowClient) -> None:
    first, context = maker.register("r1", {"toy-good": "hello", "toy-bad": "hullo"}, klds={"toy-bad": 0.2})
    maker.promote(context)
    # The same bytes under another key: a rebuilt toolchain that changed nothing.
    second, context = maker.register("r2", {"toy-good": "hello", "toy-bad": "hullo"}, klds={"toy-bad": 0.2}, key="new")
    assert second["new_versions"] == []
    assert second["unchanged_since"] == "r1"
    assert second["mlflow_run"] == first["mlflow_run"]
    assert maker.promote(context)["promoted"] == []
    name = name_of(maker, "toy-good")
    assert client.get_registered_model(name).aliases == {"champion": "1"}
    assert read_release(maker.store, second["release"]).targets[0].version == "1"
    third, _ = maker.register("r3", {"toy-good": "hello", "toy-bad": "hullo"}, klds={"toy-bad": 0.2})
    assert third["unchanged_since"] == "r1"


@pytest.mark.parametrize("maker", ["folder"], indirect=True)
def test_a_timing_that_is_measured_again_reaches_the_version(maker: Maker, client: MlflowClient) -> None:
    _, context = maker.register("r1", {"toy-good": "hello"})
    maker.promote(context)
    name = name_of(maker, "toy-good")
    before = client.get_model_version(name, "1")
    assert "tokens/s ~100" in str(before.description)
    maker.disturbed, maker.speed = None, 250.0
    second, context = maker.register("r2", {"toy-good": "hello"})
    assert (second["unchanged_since"], second["new_versions"]) == ("r1", [])
    after = client.get_model_version(name, "1")
    assert "tokens/s 250" in str(after.description)
    assert "hallmark.timing_disturbed" not in after.tags
    changed = {tag for tag in before.tags if before.tags[tag] != after.tags.get(tag)}
    assert changed == {"hallmark.timing_disturbed", "hallmark.verdict"}
    assert after.tags["hallmark.verdict"] == context.inputs["verdict:toy-good"].key
    assert client.get_registered_model(name).aliases == {"champion": "1"}


@pytest.mark.parametrize("maker", ["folder"], indirect=True)
def test_beside_a_new_version_the_others_are_refreshed_too(maker: Maker, client: MlflowClient) -> None:
    maker.register("r1", {"toy-good": "hello"})
    maker.disturbed, maker.speed = None, 250.0
    second, _ = maker.register("r2", {"toy-good": "hello", "toy-more": "more"})
    assert second["new_versions"] == [f"{name_of(maker, 'toy-more')}/1"]
    assert "tokens/s 250" in str(client.get_model_version(name_of(maker, "toy-good"), "1").description)


@pytest.mark.parametrize("maker", ["folder"], indirect=True)
def test_what_a_person_wrote_and_what_another_recipe_registered_stays(maker: Maker, client: MlflowClient) -> None:
    maker.register("r1", {"toy-good": "hello"})
    name = name_of(maker, "toy-good")
    before = client.get_model_version(name, "1")
    maker.disturbed, maker.speed = None, 250.0
    maker.register("r2", {"toy-good": "hello"}, recipe="other")
    after = client.get_model_version(name, "1")
    assert (after.description, after.tags) == (before.description, before.tags)
    client.update_model_version(name, "1", f"{before.description}\n\nUsed by the search team.")
    client.set_model_version_tag(name, "1", "team", "search")
    maker.register("r3", {"toy-good": "hello"})
    after = client.get_model_version(name, "1")
    assert str(after.description).endswith("search team.") and "~100" in str(after.description)
    assert "hallmark.timing_disturbed" not in after.tags and after.tags["team"] == "search"


def test_what_a_later_try_of_the_run_says_counts(maker: Maker, client: MlflowClient) -> None:
    """Somebody cleared what had failed; MLflow never changes a parameter, and shows the largest of equal moments."""
    words = {"toy-good": "hello", "toy-late": "hullo"}
    first, _ = maker.register("r1", words, klds={"toy-late": 0.2})
    assert first["outcomes"]["toy-late"] == "blocked"
    second, context = maker.register("r1", words)
    assert second["outcomes"] == {"toy-good": "passed", "toy-late": "passed"}
    assert second["mlflow_run"] == first["mlflow_run"]
    run = client.get_run(second["mlflow_run"])
    assert run.data.tags["outcome.toy-late"] == "passed"
    assert run.data.metrics["kld_mean.toy-late"] == 0.01
    maker.promote(context)
    assert client.get_registered_model(name_of(maker, "toy-late")).aliases == {"champion": "1"}


@pytest.mark.parametrize("maker", ["folder"], indirect=True)
def test_one_release_id_of_two_recipes_or_commits_is_no_conflict(maker: Maker, client: MlflowClient) -> None:
    """Somebody starts two recipes by one run id, such as the date, or deletes a run and starts it by its id again."""
    first, context = maker.register("nightly", {"toy-good": "hello"})
    assert maker.promote(context)["promoted"] == [name_of(maker, "toy-good")]
    other, context = maker.register("nightly", {"toy-good": "hello", "toy-more": "more"}, recipe="other")
    assert maker.promote(context)["promoted"] == [name_of(maker, "toy-more")]
    later, _ = maker.register("nightly", {"toy-good": "hello", "toy-more": "more"}, commit="b" * 40, recipe="other")
    runs = [client.get_run(facts["mlflow_run"]).data for facts in (first, other, later)]
    assert [(run.params["recipe"], run.params["commit"][0]) for run in runs] == [
        ("demo", "a"),
        ("other", "a"),
        ("other", "b"),
    ]
    assert [facts["new_versions"] for facts in (first, other)] == [
        [f"{name_of(maker, 'toy-good')}/1"],
        [f"{name_of(maker, 'toy-more')}/1"],
    ]


@pytest.mark.parametrize("maker", ["folder"], indirect=True)
def test_an_experiment_that_somebody_deleted_is_to_be_restored(maker: Maker, client: MlflowClient) -> None:
    maker.register("r1", {"toy-good": "hello"})
    experiment = client.get_experiment_by_name(maker.repository)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    restore = f"'mlflow experiments restore --experiment-id {experiment.experiment_id}', and clear this task"
    with pytest.raises(NotFound, match=f"Somebody deleted the experiment '{maker.repository}' .* with {restore}"):
        maker.register("r2", {"toy-good": "hullo"})
    client.restore_experiment(experiment.experiment_id)
    facts, _ = maker.register("r2", {"toy-good": "hullo"})
    assert facts["new_versions"] == [f"{name_of(maker, 'toy-good')}/2"]


@pytest.mark.parametrize("damage", ["gone", "other bytes"])
def test_a_version_that_lost_its_files_is_followed_by_one_that_has_them(
    maker: Maker, client: MlflowClient, damage: str
) -> None:
    _, context = maker.register("r1", {"toy-good": "hello"})
    maker.promote(context)
    lost = context.inputs["artifact:toy-good"]
    if damage == "gone":
        maker.store.delete(f"{lost.prefix}weights.txt")
    else:
        maker.store.put_bytes(f"{lost.prefix}weights.txt", b"hexxo")
    same, context = maker.register("r2", {"toy-good": "hello"}, key="made again")
    name = name_of(maker, "toy-good")
    assert same["new_versions"] == [f"{name}/2"]
    assert same["unchanged_since"] is None
    maker.promote(context)
    # There is no way back to files that are lost.
    assert client.get_registered_model(name).aliases == {"champion": "2"}
    assert answers(f"models:/{name}@champion") == ["hello"]
    third, _ = maker.register("r3", {"toy-good": "hello"}, key="made again")
    assert third["new_versions"] == [] and third["unchanged_since"] == "r2"


def test_a_registered_artifact_that_lost_a_file_fails(maker: Maker) -> None:
    _, context = maker.register("r1", {"toy-good": "hello"})
    maker.promote(context)
    artifact = context.inputs["artifact:toy-good"]
    maker.store.delete(f"{artifact.prefix}weights.txt")
    after = maker.context("r2")
    maker.give(after, "artifact:toy-good", maker.root / "artifact-hello", artifact)
    maker.give(after, "verdict:toy-good", *maker.verdict("toy-good", artifact, 0.01))
    facts = dict(register(maker.parameters("r2", ["toy-good"]), after))
    assert facts["outcomes"] == {"toy-good": "failed"}
    assert "weights.txt is missing" in facts["reasons"]["toy-good"]


def test_a_damaged_artifact_fails_alone(maker: Maker, client: MlflowClient) -> None:
    _, damaged = maker.artifact("damaged")
    maker.store.put_bytes(f"{damaged.prefix}weights.txt", b"dAmaged")
    with pytest.raises(Corrupt, match=r"weights\.txt does not have the digest"):
        verify_artifact(maker.store, damaged)
    _, short = maker.artifact("short")
    maker.store.put_bytes(f"{short.prefix}weights.txt", b"shor")
    _, gone = maker.artifact("gone")
    maker.store.delete(f"{gone.prefix}weights.txt")
    _, added = maker.artifact("added")
    maker.store.put_bytes(f"{added.prefix}code/evil.py", b"raise SystemExit\n")
    words = {f"toy-{word}": word for word in ("damaged", "short", "gone", "added")} | {"toy-good": "hello"}
    context = maker.context("r1")
    artifacts = (damaged, short, gone, added, maker.artifact("hello")[1])
    for (target, word), artifact in zip(words.items(), artifacts, strict=True):
        maker.give(context, f"artifact:{target}", maker.root / f"artifact-{word}", artifact)
        maker.give(context, f"verdict:{target}", *maker.verdict(target, artifact, 0.01))
    facts = dict(register(maker.parameters("r1", list(words)), context))
    assert facts["outcomes"] == {
        "toy-added": "failed",
        "toy-good": "passed",
        "toy-damaged": "failed",
        "toy-short": "failed",
        "toy-gone": "failed",
    }
    assert "has 4 bytes and not 5" in facts["reasons"]["toy-short"]
    assert "is missing" in facts["reasons"]["toy-gone"]
    assert "code/evil.py is not in the artifact's manifest" in facts["reasons"]["toy-added"]
    assert len(facts["shortcomings"]) == 4
    assert client.search_model_versions(f"name = '{name_of(maker, 'toy-damaged')}'") == []


def test_a_verdict_of_other_files_registers_nothing(maker: Maker) -> None:
    folder, artifact = maker.artifact("hello")
    _, other = maker.artifact("hullo")
    context = maker.context("r1")
    maker.give(context, "artifact:toy-good", folder, artifact)
    maker.give(context, "verdict:toy-good", *maker.verdict("toy-good", other, 0.01))
    facts = dict(register(maker.parameters("r1", ["toy-good"]), context))
    assert facts["outcomes"] == {"toy-good": "failed"}
    assert facts["reasons"]["toy-good"].startswith("its verdict is of other files")


@pytest.mark.parametrize("maker", ["folder"], indirect=True)
def test_a_server_that_does_not_see_the_folder_is_reported(maker: Maker, tmp_path: Path) -> None:
    from tasks.store.local import LocalStore

    elsewhere = Maker(tmp_path / "elsewhere", LocalStore(tmp_path / "other-store"), maker.repository)
    with pytest.raises(InvalidRecipe, match=r"--artifacts-destination file://.*/other-store/mlflow"):
        elsewhere.register("r1", {"toy-good": "hello"})
