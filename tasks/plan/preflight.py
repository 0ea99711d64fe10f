"""Say what will be made before any hour is spent: what was chosen, what that needs, and why the rest is left out."""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.analysis import Analysis
from tasks.contract import TaskContext
from tasks.errors import InvalidRecipe, Unsupported
from tasks.formats.base import Prediction, Target
from tasks.formats.registry import load_format, parse_target
from tasks.names import did_you_mean
from tasks.plan.parameters import PreflightParameters
from tasks.plan.plan import Plan, PlannedTarget, plan_sum, plan_table

NO_TARGETS = {"snapshot", "analysis", "calibration"}
"""Inputs of a conversion that no other conversion makes."""


def preflight(parameters: PreflightParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write plan.json, log it as a table, and return it per target; raises Unsupported where nothing can be made."""
    analysis = Analysis.read_file(context.materialize("analysis") / "analysis.json", "analysis.json")
    plan = make_plan(parameters, analysis)
    (context.output / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    context.progress(
        f"{analysis.architecture}: {analysis.parameters / 1e6:.1f} M parameters, {analysis.dtype}, "
        f"{analysis.layers} layers of {analysis.hidden_size}, context of {analysis.context_length} tokens"
    )
    for line in (*plan_table(plan), plan_sum(plan)):
        context.progress(line)
    if plan.dry_run:
        context.progress("A dry run: the release ends here, and nothing is made.")
    if not plan.made:
        reasons = "; ".join(f"{target.name}: {target.reason}" for target in plan.targets)
        raise Unsupported(f"Nothing of this recipe can be made from this model: {reasons}.")
    return {
        "targets": {target.name: target.model_dump(mode="json", exclude={"name"}) for target in plan.targets},
        "dry_run": plan.dry_run,
    }


def make_plan(parameters: PreflightParameters, analysis: Analysis) -> Plan:
    """Return the plan; raises InvalidRecipe for a chosen name that the recipe does not have."""
    named = {target.name: target for target in parameters.targets}
    for name in parameters.chosen:
        if name not in named:
            raise InvalidRecipe(f"The recipe has no target {name!r}{did_you_mean(name, list(named))}.")
    targets = _with_bases(named)
    wanted = _wanted(targets, set(parameters.chosen) or {name for name in named if named[name].servable})
    ways: dict[str, PlannedTarget] = {}
    free = parameters.disk_bytes
    for name, target in targets.items():
        ways[name] = _plan_one(target, wanted.get(name), analysis, parameters, ways, free)
        if ways[name].made:
            free -= ways[name].size_bytes or 0
    return Plan(targets=_without_idle_bases(targets, ways, wanted), dry_run=parameters.dry_run)


def _with_bases(named: Mapping[str, Target]) -> dict[str, Target]:
    """All targets and what they are made from, each base before its dependants."""
    ordered: dict[str, Target] = {}

    def add(target: Target) -> None:
        for base in _bases(target):
            if base not in ordered:
                add(named.get(base) or parse_target(base))
        ordered.setdefault(target.name, target)

    for target in named.values():
        add(target)
    return ordered


def _bases(target: Target) -> list[str]:
    return [name for name in target.requires if name not in NO_TARGETS]


def _wanted(targets: Mapping[str, Target], chosen: set[str]) -> dict[str, str]:
    """Why each target is wanted: it was chosen, or it is the base of one that is; the others are not in it."""
    wanted = dict.fromkeys((name for name in targets if name in chosen), "chosen")
    # Bases come first in `targets`, so the way back meets every dependant before its bases.
    for name in reversed(list(targets)):
        if name in wanted:
            for base in _bases(targets[name]):
                wanted.setdefault(base, f"the base of {name}")
    return wanted


def _plan_one(
    target: Target,
    why: str | None,
    analysis: Analysis,
    parameters: PreflightParameters,
    earlier: Mapping[str, PlannedTarget],
    free: int,
) -> PlannedTarget:
    if why is None:
        reason = "not chosen" if target.servable else "nothing that was chosen needs it"
        return PlannedTarget(name=target.name, made=False, reason=reason)
    if analysis.quantization:
        reason = f"the source is quantized already ({analysis.quantization}); name the repository it was made from"
        return PlannedTarget(name=target.name, made=False, reason=reason)
    try:
        prediction = load_format(target.format).predict(target, analysis)
    except Unsupported as error:
        return PlannedTarget(name=target.name, made=False, reason=str(error).rstrip("."))
    obstacle = _obstacle(target, prediction, parameters, earlier, free)
    return PlannedTarget(
        name=target.name,
        made=obstacle is None,
        reason=obstacle or why,
        size_bytes=prediction.size_bytes,
        memory_bytes=prediction.memory_bytes,
        disk_bytes=prediction.disk_bytes,
    )


def _obstacle(
    target: Target,
    prediction: Prediction,
    parameters: PreflightParameters,
    earlier: Mapping[str, PlannedTarget],
    free: int,
) -> str | None:
    for base in _bases(target):
        if not earlier[base].made:
            return f"its base {base} is not made: {earlier[base].reason}"
    if target.pool == "gpu" and not parameters.gpus:
        return "it needs a GPU, and this host has none"
    if prediction.memory_bytes > parameters.memory_bytes:
        return f"it needs {_gigabytes(prediction.memory_bytes)} of memory, of {_gigabytes(parameters.memory_bytes)}"
    if prediction.disk_bytes > free:
        return f"it needs {_gigabytes(prediction.disk_bytes)} of disk, of {_gigabytes(max(free, 0))} that are left"
    return None


def _without_idle_bases(
    targets: Mapping[str, Target], ways: Mapping[str, PlannedTarget], wanted: Mapping[str, str]
) -> tuple[PlannedTarget, ...]:
    """A base that was not chosen is made only for a target that is made."""
    kept = dict(ways)
    for name in reversed(list(targets)):
        needed = any(kept[other].made and name in _bases(targets[other]) for other in targets)
        if kept[name].made and wanted[name] != "chosen" and not needed:
            kept[name] = kept[name].model_copy(update={"made": False, "reason": "nothing that is made needs it"})
    return tuple(kept[name] for name in targets)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
