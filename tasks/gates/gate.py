"""The task `gate`. It applies the recipe's rules to one artifact's numbers and stores the verdict, passed or not."""

from collections.abc import Mapping
from typing import Any, TypeVar

from tasks.contract import TaskContext
from tasks.errors import InvalidRecipe
from tasks.evaluation.measurement import Benchmark, Evaluation, Measurement
from tasks.gates.rules import apply
from tasks.gates.verdict import Rule, Verdict
from tasks.model import Model

VERDICT_FILE = "verdict.json"

Measured = TypeVar("Measured", Evaluation, Benchmark)


class GateParameters(Model):
    """The target's name and the rules that bind it, already chosen from the recipe for this target."""

    target: str
    rules: tuple[Rule, ...]


def gate(parameters: GateParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write `verdict.json` for the inputs `artifact`, `evaluation` and `benchmark`.

    The facts are `target`, `passed`, `reason` and `metrics`, everything that was measured. A block is an answer, not an
    error: the task ends well, and its caller decides. Raises InvalidRecipe where no rule binds the target, for nothing
    passes by absence of gates, and Corrupt where a measurement cannot be read.
    """
    if not parameters.rules:
        raise InvalidRecipe(f"No gate of the recipe applies to {parameters.target}; add one below 'gates'.")
    metrics = _metrics(context)
    not_applicable = context.inputs["evaluation"].facts.get("not_applicable", ())
    answers = tuple(apply(rule, metrics, not_applicable) for rule in parameters.rules)
    artifact = context.inputs["artifact"]
    verdict = Verdict(
        target=parameters.target,
        artifact=artifact.key,
        files_digest=artifact.files_digest,
        passed=all(answer.outcome != "fail" for answer in answers)
        and any(answer.outcome == "pass" for answer in answers),
        answers=answers,
    )
    (context.output / VERDICT_FILE).write_text(verdict.to_json(), encoding="utf-8")
    outcome = "passed" if verdict.passed else "BLOCKED"
    context.progress(f"{outcome} {verdict.target}: {verdict.reason}", 1.0)
    return {
        "target": verdict.target,
        "passed": verdict.passed,
        "reason": verdict.reason,
        "metrics": {name: measured.model_dump(mode="json") for name, measured in sorted(metrics.items())},
    }


def _metrics(context: TaskContext) -> dict[str, Measurement]:
    evaluation = _read(context, "evaluation", Evaluation)
    benchmark = _read(context, "benchmark", Benchmark)
    return {**evaluation.metrics, **benchmark.metrics}


def _read(context: TaskContext, name: str, kind: type[Measured]) -> Measured:
    file = f"{name}.json"
    return kind.read_file(context.materialize(name) / file, f"{file} of {context.inputs[name].key}")
