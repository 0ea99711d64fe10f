"""Who is made and why: what was chosen, the bases that it needs, and whatever stands in the way of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.snapshot import Snapshot
from tasks.contract import Needs
from tasks.errors import InvalidRecipe, Unsupported
from tasks.formats.base import Prediction, Target
from tasks.formats.registry import parse_target
from tasks.plan import bases
from tasks.plan import controls as controls_module
from tasks.plan import preflight as preflight_module
from tasks.plan import proofs as proofs_module
from tasks.plan.parameters import PreflightParameters
from tasks.plan.plan import Plan, PlannedTarget, plan_table
from tasks.plan.preflight import make_plan, preflight
from tasks.pools import Pool
from tasks.recipe import load_recipe
from tasks.settings import REPOSITORY
from tasks.source.analyze import analyze_snapshot
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.context import make_context


def target_of(name: str, requires: tuple[str, ...] = ("snapshot",), engines: tuple[str, ...] = ("toy",)) -> Target:
    format, _, scheme = name.partition("-")
    return Target(name=name, format=format, scheme=scheme, maker="toy", engines=engines, requires=requires)


BASE = target_of("x-base")
MATRIX = target_of("x-matrix", ("x-base", "calibration"), ())
SMALL = target_of("x-small", ("x-base", "x-matrix"))
ALONE = target_of("y-alone")
HERE = Pool.model_validate({"name": "cpu", "slots": 2, "memory_bytes": 1000, "hardware": "a processor"})
GPU = Pool.model_validate({"name": "gpu", "slots": 1, "device": "cuda", "memory_bytes": 1000, "hardware": "a GPU"})
ALL = (BASE, MATRIX, SMALL, ALONE)
PLAIN = target_of("x-plain", ("x-base",))
CALIBRATED = target_of("x-calibrated", ("x-base", "x-matrix"))
CONTROLS = {"x-calibrated": PLAIN}


class StandIn:
    """A format that predicts what a test says."""

    def __init__(self, name: str, sizes: Mapping[str, int | str]) -> None:
        self.name, self.sizes = name, sizes

    def maker(self, target: Target) -> SimpleNamespace:
        return SimpleNamespace(needs=Needs(device="cuda" if "gpu" in target.scheme else "cpu"))

    def engines_of(self, target: Target) -> list[SimpleNamespace]:
        needs = Needs(device="cuda" if self.name == "g" else "cpu")
        return [SimpleNamespace(name=name, needs=needs) for name in target.engines]

    def control(self, target: Target) -> Target | None:
        return CONTROLS.get(target.name)

    def predict(self, target: Target, analysis: Analysis) -> Prediction:
        size = self.sizes.get(target.name, 10)
        if isinstance(size, str):
            raise Unsupported(size)
        return Prediction(size_bytes=size, memory_bytes=2 * size, disk_bytes=3 * size)


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    return analyze_snapshot(Snapshot(make_checkpoint(tmp_path / "checkpoint")))


def plan(
    monkeypatch: pytest.MonkeyPatch,
    analysis: Analysis,
    targets: Sequence[Target] = ALL,
    sizes: Mapping[str, int | str] | None = None,
    **changes: Any,
) -> Plan:
    for module in (preflight_module, proofs_module, controls_module):
        monkeypatch.setattr(module, "load_format", lambda name: StandIn(name, sizes or {}))
    known = {target.name: target for target in ALL}
    monkeypatch.setattr(bases, "parse_target", known.__getitem__)
    given = {"targets": targets, "pools": [HERE], "disk_bytes": 1000, "text_bytes": 1000, **changes}
    return make_plan(PreflightParameters.model_validate(given), analysis)


def ways(made: Plan) -> dict[str, str]:
    return {target.name: ("made: " if target.made else "not made: ") + target.reason for target in made.targets}


def test_nothing_chosen_means_all(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    assert ways(plan(monkeypatch, analysis)) == {
        "x-base": "made: chosen",
        "x-matrix": "made: the base of x-small",
        "x-small": "made: chosen",
        "y-alone": "made: chosen",
    }


def test_bases_of_what_was_chosen_are_made(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    assert ways(plan(monkeypatch, analysis, chosen=("x-small",))) == {
        "x-base": "made: the base of x-small",
        "x-matrix": "made: the base of x-small",
        "x-small": "made: chosen",
        "y-alone": "not made: not chosen",
    }


def test_the_control_of_a_target_is_counted_in_disk_and_memory(
    monkeypatch: pytest.MonkeyPatch, analysis: Analysis
) -> None:
    def planned(sizes: Mapping[str, int], disk: int = 1000) -> dict[str, Any]:
        made = plan(monkeypatch, analysis, [BASE, MATRIX, CALIBRATED, ALONE], sizes, disk_bytes=disk)
        return {target.name: target for target in made.targets}

    found = planned({"x-plain": 12})["x-calibrated"]
    # The stand-in predicts twice the size in memory, and three times the size on the disk.
    assert (found.size_bytes, found.memory_bytes, found.disk_bytes) == (10, 24, 30 + 12)
    found = planned({"x-plain": 600})["x-calibrated"]
    assert not found.made and "1200" not in found.reason and "memory" in found.reason
    # Base, matrix, target and control take 10 each, and the last target needs 30.
    assert planned({}, disk=70)["y-alone"].made
    assert planned({}, disk=69)["y-alone"].reason.startswith("it needs 0.0 MB of disk")


def test_a_control_that_is_a_target_of_the_recipe_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, analysis: Analysis
) -> None:
    made = plan(monkeypatch, analysis, [BASE, MATRIX, PLAIN, CALIBRATED], {})
    assert [target.disk_bytes for target in made.targets if target.name == "x-calibrated"] == [30]


REFERENCE = PlannedTarget(name="reference", made=True, reason="measured", size_bytes=100, disk_bytes=300)
NO_ROOM = "the disk may have no room for the source's rows, and evaluations then compute them again"


@pytest.mark.parametrize(
    ("disk", "size", "made", "room"),
    [
        (900, 100, True, True),
        (560, 50, True, False),  # both targets leave 390 bytes beside the reference, of which the rows would take 200
        (560, 100, False, True),  # the rows are written first, and leave 240 bytes for a target that needs 300
        (500, 50, True, False),  # the rows are never written, so no room is kept for them
        (269, 50, False, False),
    ],
)
def test_the_reference_and_its_rows_take_their_part_of_the_disk(
    monkeypatch: pytest.MonkeyPatch, analysis: Analysis, disk: int, size: int, made: bool, room: bool
) -> None:
    monkeypatch.setattr(preflight_module, "plan_reference", lambda parameters, analysis: REFERENCE)
    sizes = {BASE.name: 20, ALONE.name: size}
    found = plan(monkeypatch, analysis, [BASE, ALONE], sizes, disk_bytes=disk)
    assert ways(found)["y-alone"].startswith("made" if made else "not made: it needs")
    assert found.reference is not None and (NO_ROOM in found.reference.reason) != room


def test_bases_that_nothing_needs_are_not_made(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    assert ways(plan(monkeypatch, analysis, chosen=("y-alone",))) == {
        "x-base": "not made: not chosen",
        "x-matrix": "not made: no chosen target needs it",
        "x-small": "not made: not chosen",
        "y-alone": "made: chosen",
    }


def test_a_base_that_the_recipe_does_not_name_is_added_before(
    monkeypatch: pytest.MonkeyPatch, analysis: Analysis
) -> None:
    made = plan(monkeypatch, analysis, targets=(SMALL,))
    assert [target.name for target in made.targets] == ["x-base", "x-matrix", "x-small"]
    assert all(target.made for target in made.targets)


def test_what_is_not_supported_takes_its_dependants_along(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    told = ways(plan(monkeypatch, analysis, sizes={"x-matrix": "No such engine."}))
    assert told["x-matrix"] == "not made: No such engine"
    assert told["x-small"] == "not made: its base x-matrix is not made: No such engine"
    assert told["x-base"] == "made: chosen"


def test_a_base_is_not_made_for_what_cannot_be_made(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    told = ways(plan(monkeypatch, analysis, sizes={"x-small": "No such engine."}, chosen=("x-small", "y-alone")))
    assert told["x-matrix"] == told["x-base"] == "not made: no target that is made needs it"


def test_memory(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    told = ways(plan(monkeypatch, analysis, sizes={"y-alone": 501}, disk_bytes=10**6))
    said = (
        "not made: it needs 0.0 MB of memory, but a host of the pool cpu has only 0.0 MB; give the pool hosts with more"
    )
    assert told["y-alone"].startswith(said)
    assert told["x-small"].startswith("made")


def test_disk_is_used_up_from_target_to_target(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    # Each takes its size for good, and thrice its size while it is made: 50, 10 and 10 leave 80 of 150.
    sizes = {"x-base": 50, "y-alone": 26}
    assert all(target.made for target in plan(monkeypatch, analysis, sizes=sizes, disk_bytes=150).targets)
    sizes["y-alone"] = 27
    told = ways(plan(monkeypatch, analysis, sizes=sizes, disk_bytes=150))
    assert told["y-alone"].startswith("not made: it needs 0.0 MB of disk, but only 0.0 MB are left for it; free")


def test_a_gpu(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    engine = target_of("y-gpu")
    told = ways(plan(monkeypatch, analysis, targets=(ALONE, engine)))
    assert told["y-gpu"] == (
        "not made: it needs a GPU, but no pool in settings.toml offers it (cpu: its device is cpu)"
    )
    assert ways(plan(monkeypatch, analysis, targets=(engine,), pools=[HERE, GPU]))["y-gpu"] == "made: chosen"


def test_what_can_be_made_and_not_measured_is_unproven(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    here = plan(monkeypatch, analysis, targets=(ALONE, target_of("g-engine")))
    made = {found.name: found for found in here.targets}
    assert made["g-engine"].made and made["y-alone"].unproven is None
    assert any("g-engine" in line and "unproven" in line for line in plan_table(here))
    assert (made["g-engine"].unproven or "").startswith(
        "unproven: made and kept, but not measured, because toy cannot run: it needs a GPU"
    )
    there = plan(monkeypatch, analysis, targets=(target_of("g-engine"),), pools=[HERE, GPU])
    assert there.targets[0].unproven is None
    assert [(proof.pool, proof.engine) for proof in there.targets[0].proofs] == [("gpu", "toy")]


def test_what_is_not_made_has_no_proofs(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    made = {found.name: found for found in plan(monkeypatch, analysis, chosen=("x-small",)).targets}
    assert made["y-alone"].proofs == made["x-matrix"].proofs == () and len(made["x-small"].proofs) == 1


def test_a_source_that_is_quantized_already(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    told = ways(plan(monkeypatch, analysis.model_copy(update={"quantization": "gptq"})))
    assert told["y-alone"] == (
        "not made: the source is already quantized (gptq); release the model from which it was made"
    )


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    with pytest.raises(InvalidRecipe, match="no target 'x-smal' .did you mean 'x-small'"):
        plan(monkeypatch, analysis, chosen=("x-smal",))


def parameters(**changes: Any) -> PreflightParameters:
    targets = [parse_target(name) for name in ("gguf-f16", "gguf-imatrix", "gguf-q8_0", "onnx-fp32", "onnx-int8")]
    given = {
        "targets": targets,
        "pools": [HERE.model_copy(update={"memory_bytes": 8 * 10**9})],
        "disk_bytes": 10**10,
        "text_bytes": 10**5,
        **changes,
    }
    return PreflightParameters.model_validate(given)


def test_the_formats_themselves(tmp_path: Path, analysis: Analysis) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "analysis.json").write_text(analysis.to_json())
    context = make_context(tmp_path / "context", {"analysis": tmp_path / "analysis"})
    facts = preflight(parameters(chosen=("gguf-q8_0", "onnx-int8"), dry_run=True), context)
    assert facts["dry_run"] is True
    assert {name for name, way in facts["targets"].items() if way["made"]} == {
        "gguf-f16",
        "gguf-q8_0",
        "onnx-fp32",
        "onnx-int8",
    }
    assert facts["targets"]["gguf-q8_0"]["size_bytes"] > 0
    made = Plan.from_json((context.output / "plan.json").read_bytes())
    heading, *table, total, end = context.messages
    assert heading.startswith(f"{analysis.architecture}: ") and f" {analysis.dtype}, " in heading
    assert table == plan_table(made)
    assert table[1].split()[:2] == ["reference", "yes"] and facts["reference"]["memory_bytes"] > 0
    assert table[0].split() == ["target", "made", "MB", "memory", "MB", "disk", "MB", "why"]
    size = sum(target.size_bytes or 0 for target in made.made) / 1e6
    assert total.startswith(f"4 of 5 are made: {size:.1f} MB in all; ")
    assert "dry run" in end


@pytest.mark.parametrize(("cache", "short"), [(10**12, False), (1000, True), (None, False)])
def test_a_worker_cache_that_is_too_small_is_reported(
    tmp_path: Path, analysis: Analysis, cache: int | None, short: bool
) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "analysis.json").write_text(analysis.to_json())
    context = make_context(tmp_path / "context", {"analysis": tmp_path / "analysis"})
    preflight(parameters(cache_bytes=cache), context)
    assert any("raise cache_bytes under [host]" in line for line in context.messages) == short


def refused(tmp_path: Path, analysis: Analysis, **changes: Any) -> str:
    """Run the task, from which no target can be made; return its message."""
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "analysis.json").write_text(analysis.to_json())
    context = make_context(tmp_path / "context", {"analysis": tmp_path / "analysis"})
    with pytest.raises(Unsupported, match=r"^No target that was chosen can be made from this model: ") as error:
        preflight(parameters(**changes), context)
    assert (context.output / "plan.json").exists()
    return str(error.value).partition("this model: ")[2]


def test_one_reason_of_all_targets_is_said_once(tmp_path: Path, analysis: Analysis) -> None:
    targets = load_recipe(REPOSITORY / "dags/recipes/standard.yaml").targets
    assert len(targets) > 10
    quantized = analysis.model_copy(update={"quantization": "gptq"})
    assert refused(tmp_path, quantized, targets=targets) == (
        "the source is already quantized (gptq); release the model from which it was made."
    )


def test_each_reason_is_said_once_with_its_targets(tmp_path: Path, analysis: Analysis) -> None:
    gguf, onnx = refused(tmp_path, analysis.model_copy(update={"tokenizer": "none"})).split("; onnx-")
    assert gguf.startswith("gguf-f16 and gguf-q8_0: A GGUF file needs a tokenizer, and ")
    assert onnx.startswith("fp32 and onnx-int8: ") and onnx.endswith(".")


def test_what_was_not_chosen_is_not_named(tmp_path: Path, analysis: Analysis) -> None:
    said = refused(tmp_path, analysis.model_copy(update={"tokenizer": "none"}), chosen=("gguf-q8_0", "onnx-fp32"))
    assert said.startswith("gguf-q8_0: A GGUF file needs a tokenizer, and ")
    assert "; onnx-fp32: " in said and "f16" not in said and "imatrix" not in said and "int8" not in said


@pytest.mark.parametrize(
    ("chosen", "who"), [((), ""), (("gguf-q8_0",), "its base gguf-f16 is not made: "), (("gguf-f16", "gguf-q8_0"), "")]
)
def test_a_base_gives_its_reason_for_what_is_made_from_it(
    tmp_path: Path, analysis: Analysis, chosen: tuple[str, ...], who: str
) -> None:
    targets = [parse_target(name) for name in ("gguf-f16", "gguf-imatrix", "gguf-q8_0")]
    said = refused(tmp_path, analysis, targets=targets, disk_bytes=10, chosen=chosen)
    assert said.startswith(f"{who}it needs ") and said.count("it needs ") == 1


def test_a_reference_that_does_not_fit_ends_the_release_before_any_conversion(
    tmp_path: Path, analysis: Analysis
) -> None:
    (tmp_path / "analysis").mkdir()
    large = analysis.model_copy(update={"parameters": 10 * 10**9})
    (tmp_path / "analysis" / "analysis.json").write_text(large.to_json())
    context = make_context(tmp_path / "context", {"analysis": tmp_path / "analysis"})
    pool = HERE.model_copy(update={"memory_bytes": 24 * 10**9})
    with pytest.raises(
        Unsupported, match=r"reference cannot be made: it needs 40\.39 GB .* pool cpu has 24\.00 GB; give"
    ):
        preflight(parameters(targets=[parse_target("safetensors-bf16")], pools=[pool], disk_bytes=10**12), context)
    assert (context.output / "plan.json").exists()


def test_the_table_tells_a_shared_reason_once(monkeypatch: pytest.MonkeyPatch, analysis: Analysis) -> None:
    table = plan_table(plan(monkeypatch, analysis.model_copy(update={"quantization": "gptq"})))
    assert "\n".join(table).count("the source is already quantized (gptq)") == 1
    (small,) = [line for line in table if line.startswith("x-small")]
    assert small.endswith("  same reason as x-base")
