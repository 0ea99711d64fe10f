"""Builds the parameters of each task from a recipe and a run's trigger. Parameters are JSON and contain no secret."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from pydantic import TypeAdapter, ValidationError

from operators.model_task import RECIPE_CHANGED, Parameters
from operators.results import Results, maybe_pulled, pulled
from operators.trigger_form import check_names
from tasks.errors import InvalidRecipe
from tasks.evaluation.bound import Bound
from tasks.formats.base import Target
from tasks.formats.registry import load_format
from tasks.gates.wording import say_gates
from tasks.host.facts import free_disk_bytes, host_facts
from tasks.plan.bases import with_bases
from tasks.pools import declared_pools
from tasks.recipe import Recipe
from tasks.release.record import ReleaseId
from tasks.settings import REPOSITORY

Read = TypeVar("Read")

SOURCE_TASKS = {"snapshot": "fetch", "calibration": "calibration_text", "analysis": "analyze"}
"""Inputs of a conversion that are not targets, and the tasks that make them."""

SOURCE = {name: SOURCE_TASKS[name] for name in ("snapshot", "analysis")}
"""The inputs of a task that reads the source."""

BASE_ONLY = "made as a base of others and was not chosen itself"
"""The reason why a target is made and judged, but not released."""

DRY_RUN = "A dry run ends with the plan, in the log of preflight."


def pin(recipe: Recipe) -> Parameters:
    """Return the parameters of `pin`: the model and revision of the form, and the recipe's policy."""

    def parameters(context: Any) -> dict[str, Any]:
        check_names(context["params"], recipe)
        _check_run_id(context["run_id"])
        repository = context["params"]["model"]
        if not repository:
            raise AirflowFailException(
                "No model was named; fill in 'model' in the trigger form, or 'models' in the recipe."
            )
        return {"repository": repository, "revision": context["params"]["revision"], **policy(recipe)}

    return parameters


def _check_run_id(run_id: str) -> None:
    """Raise AirflowFailException where `register` would refuse the run's id as the release's, after all other work."""
    try:
        TypeAdapter(ReleaseId).validate_python(run_id)
    except ValidationError as error:
        raise AirflowFailException(
            f"The run id {run_id!r} cannot be the id of a release; trigger a new run with an id of letters, digits, "
            "'_', '.', ':', '+' and '-' that begins with a letter or a digit."
        ) from error


def policy(recipe: Recipe) -> dict[str, Any]:
    """Return what the recipe allows of a source: licences, code, pickles."""
    return {"licences": list(recipe.licences), **_code_policy(recipe)}


def _code_policy(recipe: Recipe) -> dict[str, Any]:
    return {"code": [allowed.model_dump() for allowed in recipe.code], "pickles": recipe.pickles}


def source(context: Any) -> dict[str, Any]:
    """Return the pinned source: repository and commit."""
    facts = pulled(context, "pin")["facts"]
    return {"repository": facts["repository"], "commit": facts["commit"]}


def scan(recipe: Recipe) -> Parameters:
    """Return the parameters of `scan`: the source, and what the recipe allows of it."""

    def parameters(context: Any) -> dict[str, Any]:
        found, allowed = source(context), _code_policy(recipe)
        for entry in allowed["code"]:
            # The recipe may name the model otherwise than the Hub does.
            if entry["repository"] == context["params"]["model"]:
                entry["repository"] = found["repository"]
        return found | allowed

    return parameters


def text(recipe: Recipe, name: str) -> Parameters:
    """Return the parameters of `text`: the recipe's text file, and its digest at the time of the run."""

    def parameters(context: Any) -> dict[str, Any]:
        if context["params"]["dry_run"]:
            raise AirflowSkipException(DRY_RUN)
        file = recipe.folder / name
        return {
            # A folder outside the checkout gives a path with "..", which the task refuses.
            "path": os.path.relpath(file, REPOSITORY),
            "sha256": _read(file, _digest),
        }

    return parameters


def _read(file: Path, read: Callable[[Path], Read]) -> Read:
    """Return what `read` returns for a text of the recipe; raises InvalidRecipe where the file cannot be read."""
    try:
        return read(file)
    except OSError as error:
        raise InvalidRecipe(
            f"{file} cannot be read ({error.strerror}); let the user of Airflow's workers read it, and clear the task."
        ) from error


def _digest(file: Path) -> str:
    """Return the sha256 of a file, read in blocks: this runs in Airflow's process, and the file may be large."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def preflight(recipe: Recipe, targets: Sequence[Target]) -> Parameters:
    """All targets and bases, those chosen in the form, and what this host has."""

    def parameters(context: Any) -> dict[str, Any]:
        return {
            "targets": [target.model_dump(mode="json") for target in targets],
            "chosen": [name for name in recipe.target_names if name in context["params"]["targets"]],
            "pools": [pool.model_dump(mode="json") for pool in declared_pools()],
            "disk_bytes": free_disk_bytes(),
            "cache_bytes": host_facts().cache_bytes,
            "text_bytes": _read(recipe.folder / recipe.texts.evaluation, lambda file: file.stat().st_size),
            "evaluation": recipe.evaluation.settings.model_dump(),
            "gates": _gates_in_effect(recipe, _model_size(context)),
            "dry_run": bool(context["params"]["dry_run"]),
        }

    return parameters


def _model_size(context: Any) -> int:
    """Return the number of parameters that `analyze` has counted."""
    return int(pulled(context, "analyze")["facts"]["parameters"])


def _gates_in_effect(recipe: Recipe, size: int) -> list[str]:
    """Return a line for all targets that the same gates bind, if the model has `size` parameters."""
    alike: dict[str, list[str]] = {}
    for name in recipe.target_names:
        alike.setdefault(say_gates(recipe.rules_for(name, size)), []).append(name)
    return [f"Gates of {', '.join(names)}: {gates}." for gates, names in alike.items()]


STEPS = ("pin", "fetch", "scan", "analyze", "preflight", "register", "report", "promote")
"""The tasks that every release needs, in order. A target that fails between them does not stop the release."""

BEFORE_TARGETS = STEPS[: STEPS.index("preflight") + 1]
"""Those that end before the first target is made. A dry run needs no more."""


def release(recipe: Recipe) -> Parameters:
    """Return the parameters of `register`: the source, the recipe, and for each target its outcome and the reason."""

    def parameters(context: Any) -> dict[str, Any]:
        results = Results(context)
        _check_steps(results)
        if context["params"]["dry_run"]:
            raise AirflowSkipException(DRY_RUN)
        pinned = pulled(context, "pin")["facts"]
        planned = pulled(context, "preflight")["facts"]["targets"]
        return {
            "repository": pinned["repository"],
            "commit": pinned["commit"],
            "licence": pinned["licence"],
            "licence_link": pinned.get("licence_link"),
            "recipe": recipe.name,
            "registered_name": recipe.registered_name,
            "run": context["run_id"],
            "targets": [
                {
                    "target": target.model_dump(mode="json"),
                    "required": recipe.is_required(target.name) and target.name in context["params"]["targets"],
                    "expect_blocked": target.name in recipe.expect_blocked,
                    **_ended(context, results, target, planned),
                }
                for target in recipe.targets
            ],
        }

    return parameters


def _check_steps(results: Results) -> None:
    """Raise unless every step before the targets has a result that holds, and the snapshot is the pinned commit's.

    Raises AirflowSkipException where a step has no result, for that step is why the run is red. `pin` makes no
    artifact, so its commit is compared.
    """
    facts: dict[str, Any] = {}
    for step in BEFORE_TARGETS:
        if replaced := results.outdated(step):
            raise AirflowFailException(replaced)
        told = results.holding(step)
        if told is None:
            raise AirflowSkipException(f"The task {step} left no result, so there is nothing to register.")
        facts[step] = told["facts"]
    fetched, pinned = facts["fetch"]["commit"], facts["pin"]["commit"]
    if fetched != pinned:
        raise AirflowFailException(
            f"The snapshot is of the commit {fetched}, and pin has chosen {pinned} since; "
            "clear fetch and what follows it."
        )


def conclude(context: Any) -> dict[str, Any]:
    """Return the parameters of `conclude`: the first step that did not finish, and its message."""
    dry_run = bool(context["params"]["dry_run"])
    for step in BEFORE_TARGETS if dry_run else STEPS:
        if maybe_pulled(context, step) is None:
            return {
                "dry_run": dry_run,
                "stopped": f"{step}: {_said(context, step) or 'it did not finish; see its log.'}",
            }
    return {"dry_run": dry_run}


def reference(recipe: Recipe) -> Parameters:
    """Return the parameters of `reference`: how the text is used, and the bounds of each target that is measured."""

    def parameters(context: Any) -> dict[str, Any]:
        planned, size = pulled(context, "preflight")["facts"]["targets"], _model_size(context)
        # The recipe may have been edited since the plan was made.
        measured = [name for name in recipe.target_names if _has_a_place(planned.get(name))]
        bounds = {name: recipe.bounds_for(name, size) for name in measured}
        return {
            "settings": recipe.evaluation.settings.model_dump(),
            "questions": recipe.questions,
            "bounds": {
                name: [plain.model_dump() for plain in map(_plain, asked)] for name, asked in bounds.items() if asked
            },
        }

    return parameters


def _has_a_place(plan: dict[str, Any] | None) -> bool:
    """Return whether a target is made and measured in a pool, by its plan; None is that of a target without one."""
    return plan is not None and plan["made"] and any(proof["obstacle"] is None for proof in plan["proofs"])


def _plain(bound: Bound) -> Bound:
    """Return a bound without what the source's noise does to it, which is not known before the reference."""
    return bound.moved_to(bound.limit)


def evaluate(recipe: Recipe, target: Target, engine: str) -> Parameters:
    """Return the parameters of `evaluate` in one engine: what is measured, and when enough text was compared."""

    def parameters(context: Any) -> dict[str, Any]:
        bounds = recipe.bounds_for(target.name, _model_size(context))
        return {
            "target": target.measured_by(engine).model_dump(mode="json"),
            "bounds": [bound.model_dump() for bound in bounds],
        }

    return parameters


def gate(recipe: Recipe, target: Target, proof: int) -> Parameters:
    """Return the parameters of `gate`: what is judged, by which rules, and the proofs of the target's judged bases."""

    def parameters(context: Any) -> dict[str, Any]:
        planned = pulled(context, "preflight")["facts"]["targets"]
        results = Results(context)
        return {
            "target": target.name,
            "pool": planned[target.name]["proofs"][proof]["pool"],
            "rules": [rule.model_dump() for rule in recipe.rules_for(target.name, _model_size(context))],
            "bases": [
                {"target": base.name, "verdict": f"base:{asked['name']}", "failure": asked["failure"]}
                for base in judged_bases(recipe, target)
                for asked in _base_proofs(context, results, base, planned)
            ],
            "no_control": load_format(target.format).described(target).no_control,
        }

    return parameters


def judged_bases(recipe: Recipe, target: Target) -> list[Target]:
    """Return the nearest bases of a target that are targets of the recipe, and so have verdicts of their own."""
    known = {found.name: found for found in with_bases(recipe.targets)}
    found: dict[str, Target] = {}
    waiting = list(target.bases)
    while waiting:
        name = waiting.pop(0)
        if name in recipe.target_names:
            found[name] = known[name]
        else:
            waiting += known[name].bases
    return list(found.values())


def _ended(context: Any, results: Results, target: Target, planned: dict[str, Any]) -> dict[str, Any]:
    """Return how the tasks of a target ended: why it was left out, or why it was not made, and its proofs."""
    if skipped := _left_out(context, target, planned):
        return {"skipped": skipped, "failure": None, "proofs": []}
    return {
        "skipped": None,
        "failure": _failure(context, target.name, _making(target)) or results.outdated(f"{target.name}.convert"),
        "proofs": _proofs(context, results, target, planned[target.name]),
    }


def _left_out(context: Any, target: Target, planned: dict[str, Any]) -> str | None:
    """Return why a target is not part of this release, or None if it is."""
    if _is_new(target, planned):
        return RECIPE_CHANGED
    if not planned[target.name]["made"]:
        return str(planned[target.name]["reason"])
    return None if target.name in context["params"]["targets"] else BASE_ONLY


def _is_new(target: Target, planned: dict[str, Any]) -> bool:
    """Return whether the plan lacks the target or would prove it elsewhere: the recipe was edited during the run."""
    plan = planned.get(target.name)
    if plan is None or not plan["made"]:
        return plan is None
    pools = [proof["pool"] for proof in plan["proofs"]]
    return pools != list(target.on) if target.on else len(pools) != 1


def _base_proofs(context: Any, results: Results, base: Target, planned: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the proofs of a base that have a place. A base that is new in the recipe has no verdict, so it blocks."""
    if _is_new(base, planned):
        return [{"name": base.name, "failure": RECIPE_CHANGED}]
    return [proof for proof in _proofs(context, results, base, planned[base.name]) if proof["obstacle"] is None]


def _proofs(context: Any, results: Results, target: Target, planned: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the proofs of a target as they were planned, each with its name and the reason why it has no verdict."""
    return [
        {
            **proof,
            "name": name,
            "failure": None
            if results.holding(f"{name}.gate")
            else _failure(context, name, _proving(target, name)) or results.outdated(f"{name}.gate"),
        }
        for name, proof in zip(target.proof_names, planned["proofs"], strict=True)
    ]


def _making(target: Target) -> list[str]:
    """Return the tasks that make a target, in their order."""
    bases = [f"{name}.convert" for name in target.bases]
    return [*bases, "calibration_text", f"{target.name}.convert"]


def _proving(target: Target, name: str) -> list[str]:
    """Return the tasks that lead to the verdict of one proof, in their order."""
    own = [f"{name}.{step}" for step in ("evaluate", "compare_control", "benchmark", "gate")]
    made = [f"{target.name}.{step}" for step in ("convert", "compare_weights", "convert_control")]
    return [*_making(target)[:-1], "evaluation_text", "reference", *made, *own]


def _failure(context: Any, name: str, task_ids: Sequence[str]) -> str | None:
    """Return the message of the first of these tasks that failed; None if all of them did their work."""
    for task_id in task_ids:
        if message := _said(context, task_id):
            return f"{task_id.removeprefix(f'{name}.')}: {message}"
    return None


def _said(context: Any, task_id: str) -> str | None:
    message = context["ti"].xcom_pull(task_ids=task_id, key="failure")
    return message if isinstance(message, str) else None


def summary(recipe: Recipe) -> dict[str, Any]:
    """Return the parameters of `report`: what the report says about the recipe."""
    return {"name": recipe.name, "description": recipe.description, "owner": recipe.owner, "context": recipe.context}
