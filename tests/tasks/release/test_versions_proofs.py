"""A version and its run name every proof, and a release with other proofs is a new one."""

from datetime import UTC, datetime
from typing import Literal

import pytest
from mlflow import MlflowClient

from tasks.release.judge import AskedProof, AskedTarget
from tasks.release.record import Release, ReleasedProof, ReleasedTarget
from tasks.release.register import register
from tasks.release.versions import is_unchanged
from tests.tasks.release.releases import Maker, target_of


def release(*proofs: ReleasedProof) -> Release:
    target = ReleasedTarget(target="x", format="x", outcome="passed", reason="why", version="1", proofs=proofs)
    return Release(
        release_id="r1",
        repository="acme/tiny",
        commit="a" * 40,
        licence="mit",
        recipe="demo",
        created=datetime(2026, 11, 29, tzinfo=UTC),
        targets=(target,),
    )


def proof(pool: str | None, outcome: Literal["passed", "unproven"] = "passed") -> ReleasedProof:
    return ReleasedProof(pool=pool, outcome=outcome, reason="why")


def test_another_pool_is_something_new() -> None:
    both = release(proof("cpu"), proof("gpu"))
    assert is_unchanged(both, both)
    assert not is_unchanged(both, release(proof("cpu")))
    assert not is_unchanged(both, release(proof("cpu"), proof("other")))
    assert not is_unchanged(both, release(proof("cpu"), proof("gpu", "unproven")))


def test_the_pool_of_the_only_proof_is_a_matter_of_the_host() -> None:
    assert is_unchanged(release(proof("cpu")), release(proof(None))), "an earlier version recorded no pool"


@pytest.mark.servers
@pytest.mark.parametrize("maker", ["folder"], indirect=True)
def test_a_version_and_its_run_name_all_proofs(maker: Maker, client: MlflowClient) -> None:
    folder, artifact = maker.artifact("hello")
    context = maker.context("r1")
    maker.give(context, "artifact:toy-good", folder, artifact)
    for pool, kld in (("cpu", 0.01), ("other", 0.02)):
        maker.give(context, f"verdict:toy-good.{pool}", *maker.verdict("toy-good", artifact, kld, pool))
    target = target_of("toy-good").model_copy(update={"on": ("cpu", "other")})
    proofs = tuple(AskedProof(pool=pool, engine="toy", name=f"toy-good.{pool}") for pool in target.on)
    asked = AskedTarget(target=target, proofs=proofs)
    parameters = maker.parameters("r1", ["toy-good"]).model_copy(update={"targets": (asked,)})
    facts = dict(register(parameters, context))
    assert facts["outcomes"] == {"toy-good": "passed"}
    run = client.get_run(facts["mlflow_run"]).data
    klds = {name: value for name, value in run.metrics.items() if name.startswith("kld_mean.")}
    assert klds == {"kld_mean.toy-good": 0.01, "kld_mean.toy-good.other": 0.02}
    outcomes = {name: value for name, value in run.tags.items() if name.startswith("outcome.")}
    assert outcomes == {
        "outcome.toy-good": "passed",
        "outcome.toy-good.cpu": "passed",
        "outcome.toy-good.other": "passed",
    }
    name = f"{maker.repository.replace('/', '--')}--toy-good"
    tags = client.get_model_version(name, "1").tags
    assert tags["hallmark.proofs"] == "cpu, toy 1; other, toy 1"
    assert tags["hallmark.verdict_summary"] == "cpu: all 1 gates passed; other: all 1 gates passed"
