"""Where a target is proven: in each pool that the recipe asks for, by the first engine that the pool can run."""

from types import SimpleNamespace

import pytest

from tasks.contract import Needs
from tasks.formats.base import Target
from tasks.plan import proofs
from tasks.plan.plan import PlannedProof
from tasks.plan.proofs import planned_proofs
from tasks.pools import Pool

FAST, PLAIN = (
    SimpleNamespace(name=name, needs=Needs(device=device)) for name, device in (("fast", "cuda"), ("plain", "cpu"))
)
CPU = Pool.model_validate({"name": "cpu", "slots": 2, "memory_bytes": 1000, "hardware": "a processor"})
GPU = Pool.model_validate({"name": "gpu", "slots": 1, "device": "cuda", "memory_bytes": 1000, "hardware": "a GPU"})


@pytest.fixture(autouse=True)
def two_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format whose first engine needs a GPU."""
    format = SimpleNamespace(engines_of=lambda target: [each for each in (FAST, PLAIN) if each.name in target.engines])
    monkeypatch.setattr(proofs, "load_format", lambda name: format)


def target(*on: str, engines: tuple[str, ...] = ("fast", "plain")) -> Target:
    return Target(name="x-one", format="x", scheme="one", maker="toy", engines=engines, on=on)


def places(found: tuple[PlannedProof, ...]) -> list[tuple[str | None, str | None]]:
    return [(proof.pool, proof.engine) for proof in found]


def test_without_on_there_is_one_proof_in_the_first_pool_that_can_run_an_engine() -> None:
    assert places(planned_proofs(target(), (CPU, GPU))) == [("cpu", "plain")]
    assert places(planned_proofs(target(), (GPU, CPU))) == [("gpu", "fast")]
    assert places(planned_proofs(target(engines=("fast",)), (CPU, GPU))) == [("gpu", "fast")]


def test_each_pool_has_its_own_engine_in_the_order_of_the_recipe() -> None:
    found = planned_proofs(target("gpu", "cpu"), (CPU, GPU))
    assert places(found) == [("gpu", "fast"), ("cpu", "plain")]
    assert [proof.unproven for proof in found] == [None, None]
    assert target("gpu", "cpu").proof_names == ["x-one.gpu", "x-one.cpu"] and target("gpu").proof_names == ["x-one"]


def test_a_pool_that_is_not_declared_is_an_obstacle() -> None:
    (proof,) = planned_proofs(target("gpu-l4"), (CPU, GPU))
    assert (proof.pool, proof.engine) == ("gpu-l4", None)
    assert proof.obstacle == "settings.toml declares no pool 'gpu-l4' (declared: cpu, gpu)"


def test_a_pool_that_can_run_no_engine_is_an_obstacle() -> None:
    (proof,) = planned_proofs(target("cpu", engines=("fast",)), (CPU, GPU))
    assert proof.obstacle == "the pool cpu cannot run an engine of this format (fast: its device is cpu)"


def test_no_pool_at_all() -> None:
    (proof,) = planned_proofs(target(engines=("fast",)), (CPU,))
    assert (proof.pool, proof.engine) == (None, None)
    assert (proof.obstacle or "").startswith("fast cannot run: it needs a GPU, but no pool in settings.toml offers it")


def test_a_base_that_no_engine_runs_has_no_proofs() -> None:
    assert planned_proofs(target(engines=()), (CPU,)) == ()
