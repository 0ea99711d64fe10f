"""The plan of a release, made by the task preflight before any conversion begins.

A conversion can take hours, so everything that can fail early is checked here: unknown names, models that a format does
not support, missing hardware, and too little memory or disk. The plan also says why a target is left out.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tasks.checkpoint.analysis import Analysis
from tasks.contract import TaskContext
from tasks.errors import InvalidRecipe, Unsupported, listed
from tasks.formats.base import Prediction, Target
from tasks.formats.registry import load_format
from tasks.host.shortage import megabytes
from tasks.names import did_you_mean
from tasks.plan.bases import with_bases
from tasks.plan.cache_room import cache_shortage
from tasks.plan.controls import control_of
from tasks.plan.parameters import PreflightParameters
from tasks.plan.plan import Plan, PlannedTarget, plan_sum, plan_table
from tasks.plan.proofs import planned_proofs
from tasks.plan.reference import plan_reference, rows_bytes, rows_fit, without_rows
from tasks.plan.shared_reasons import list_names
from tasks.pools import no_place, place

BASE_NOT_MADE = re.compile(r"its base (?P<base>\S+) is not made: ")
"""How the reason of a target begins whose base is not made; the reason of the base follows."""


def preflight(parameters: PreflightParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write plan.json, log it as a table, and return it as facts: `targets` (name to plan), `reference`, `dry_run`.

    Raises Unsupported if no target can be made, or if the reference cannot be made.
    """
    analysis = Analysis.read_file(context.materialize("analysis") / "analysis.json", "analysis.json")
    plan = make_plan(parameters, analysis)
    (context.output / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    context.progress(
        f"{analysis.architecture}: {analysis.parameters / 1e6:.1f} M parameters, {analysis.dtype}, "
        f"{analysis.layers} layers of {analysis.hidden_size}, context of {analysis.context_length} tokens"
    )
    for line in (*plan_table(plan), plan_sum(plan), *_cache_lines(parameters, plan, analysis), *parameters.gates):
        context.progress(line)
    if plan.dry_run:
        context.progress("This is a dry run: the release ends here, and nothing is made.")
    if not plan.made:
        why = _why_none(plan, _chosen(parameters))
        raise Unsupported(f"No target that was chosen can be made from this model: {why}.")
    if plan.reference and not plan.reference.made:
        raise Unsupported(f"Nothing could be measured, because the reference cannot be made: {plan.reference.reason}.")
    return {
        "reference": plan.reference.model_dump(mode="json", exclude={"name"}) if plan.reference else None,
        "targets": {target.name: target.model_dump(mode="json", exclude={"name"}) for target in plan.targets},
        "dry_run": plan.dry_run,
    }


def _cache_lines(parameters: PreflightParameters, plan: Plan, analysis: Analysis) -> list[str]:
    if parameters.cache_bytes is None:
        return []
    said = cache_shortage(plan, with_bases(parameters.targets), analysis.weight_bytes, parameters.cache_bytes)
    return [said] if said else []


def make_plan(parameters: PreflightParameters, analysis: Analysis) -> Plan:
    """Return the plan. Raises InvalidRecipe if a chosen name is not in the recipe."""
    named = {target.name: target for target in parameters.targets}
    for name in parameters.chosen:
        if name not in named:
            raise InvalidRecipe(f"The recipe has no target {name!r}{did_you_mean(name, list(named))}.")
    targets = {target.name: target for target in with_bases(named.values())}
    wanted = _wanted(targets, _chosen(parameters))
    ways: dict[str, PlannedTarget] = {}
    reference = plan_reference(parameters, analysis)
    free = parameters.disk_bytes - (reference.size_bytes or 0 if reference.made else 0)
    rows = rows_bytes(reference) if reference.made else 0
    # The first evaluation writes them, and the targets that are made after it find so much less.
    kept = rows if rows_fit(rows, free) else 0
    free -= kept
    for name, target in targets.items():
        control = _control_beside(target, [targets[other] for other in wanted])
        ways[name] = _plan_one(target, wanted.get(name), control, analysis, parameters, ways, free)
        if ways[name].made:
            free -= ways[name].size_bytes or 0
            free -= load_format(target.format).predict(control, analysis).size_bytes if control else 0
    return Plan(
        targets=_without_idle_bases(targets, ways, wanted),
        reference=reference if not rows or rows_fit(rows, free + kept) else without_rows(reference),
        dry_run=parameters.dry_run,
    )


def _chosen(parameters: PreflightParameters) -> set[str]:
    return set(parameters.chosen) or {target.name for target in parameters.targets if target.servable}


def _why_none(plan: Plan, chosen: Collection[str]) -> str:
    """Return why no target is made, each reason once, with the names of its targets if there are several reasons.

    Of a chosen base and what is made from it, both have the base's reason.
    """
    names: dict[str, list[str]] = {}
    for target in plan.targets:
        if target.name in chosen:
            reason = target.reason
            while (found := BASE_NOT_MADE.match(reason)) and found["base"] in chosen:
                reason = reason[found.end() :]
            names.setdefault(reason, []).append(target.name)
    if len(names) == 1:
        return next(iter(names))
    return listed([f"{list_names(targets)}: {reason}" for reason, targets in names.items()])


def _wanted(targets: Mapping[str, Target], chosen: set[str]) -> dict[str, str]:
    """Return the reason for each wanted target: it was chosen, or it is the base of a wanted target."""
    wanted = dict.fromkeys((name for name in targets if name in chosen), "chosen")
    # Bases come first in `targets`, so the reverse order visits each target before its bases.
    for name in reversed(list(targets)):
        if name in wanted:
            for base in targets[name].bases:
                wanted.setdefault(base, f"the base of {name}")
    return wanted


def _control_beside(target: Target, wanted: Sequence[Target]) -> Target | None:
    """Return the control of a target, unless it is itself wanted: then it is counted as a target."""
    control = control_of(target, wanted)
    return None if control in [other.converted() for other in wanted] else control


def _plan_one(
    target: Target,
    why: str | None,
    control: Target | None,
    analysis: Analysis,
    parameters: PreflightParameters,
    earlier: Mapping[str, PlannedTarget],
    free: int,
) -> PlannedTarget:
    if why is None:
        reason = "not chosen" if target.servable else "no chosen target needs it"
        return PlannedTarget(name=target.name, made=False, reason=reason)
    if analysis.quantization:
        reason = f"the source is already quantized ({analysis.quantization}); release the model from which it was made"
        return PlannedTarget(name=target.name, made=False, reason=reason)
    try:
        prediction = _predict(target, control, analysis)
    except Unsupported as error:
        return PlannedTarget(name=target.name, made=False, reason=str(error).rstrip("."))
    obstacle = _obstacle(target, prediction, parameters, earlier, free)
    return PlannedTarget(
        name=target.name,
        made=obstacle is None,
        reason=obstacle or why,
        proofs=() if obstacle else planned_proofs(target, parameters.pools),
        size_bytes=prediction.size_bytes,
        memory_bytes=prediction.memory_bytes,
        disk_bytes=prediction.disk_bytes,
    )


def _predict(target: Target, control: Target | None, analysis: Analysis) -> Prediction:
    """Return what a target needs, with the disk and memory for its control. Raises Unsupported."""
    predict = load_format(target.format).predict
    alone = predict(target, analysis)
    if control is None:
        return alone
    other = predict(control, analysis)
    memory, disk = max(alone.memory_bytes, other.memory_bytes), alone.disk_bytes + other.size_bytes
    return alone.model_copy(update={"memory_bytes": memory, "disk_bytes": disk})


def _obstacle(
    target: Target,
    prediction: Prediction,
    parameters: PreflightParameters,
    earlier: Mapping[str, PlannedTarget],
    free: int,
) -> str | None:
    for base in target.bases:
        if not earlier[base].made:
            return f"its base {base} is not made: {earlier[base].reason}"  # as BASE_NOT_MADE
    needs = load_format(target.format).maker(target).needs
    pool = place(needs, parameters.pools)
    if pool is None:
        return no_place(needs, parameters.pools)
    if prediction.memory_bytes > pool.memory_bytes:
        return (
            f"it needs {megabytes(prediction.memory_bytes)} of memory, but a host of the pool {pool.name} has only "
            f"{megabytes(pool.memory_bytes)}; give the pool hosts with more memory and raise memory_bytes in "
            "settings.toml"
        )
    if prediction.disk_bytes > free:
        return (
            f"it needs {megabytes(prediction.disk_bytes)} of disk, but only {megabytes(max(free, 0))} are left for it; "
            "free some, set HALLMARK_HOME to a folder on a larger disk, or choose fewer targets"
        )
    return None


def _without_idle_bases(
    targets: Mapping[str, Target], ways: Mapping[str, PlannedTarget], wanted: Mapping[str, str]
) -> tuple[PlannedTarget, ...]:
    """Return the plan in which a base that was not chosen is made only if a target made from it is made, too."""
    kept = dict(ways)
    for name in reversed(list(targets)):
        needed = any(kept[other].made and name in targets[other].bases for other in targets)
        if kept[name].made and wanted[name] != "chosen" and not needed:
            kept[name] = kept[name].model_copy(update={"made": False, "reason": "no target that is made needs it"})
    return tuple(kept[name] for name in targets)
