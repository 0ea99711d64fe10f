"""The task `gate`. It applies the recipe's rules to one artifact's numbers and stores the verdict, passed or not."""

from collections.abc import Mapping
from typing import Any, TypeVar

from tasks.contract import TaskContext
from tasks.errors import InvalidRecipe
from tasks.evaluation.caveats import Caveat, caveats_of
from tasks.evaluation.control import CONTROL_FILE, ControlComparison
from tasks.evaluation.measurement import Benchmark, Evaluation, Measurement
from tasks.evaluation.metrics import CAUSES, CONTROL_METRICS, INTERRUPTED
from tasks.gates.bases import JudgedBase, blocking_bases
from tasks.gates.control import control_answers, no_control
from tasks.gates.defaults import DefaultRule
from tasks.gates.integrity import INTEGRITY_RULES
from tasks.gates.noise_floor import in_effect
from tasks.gates.rules import apply
from tasks.gates.verdict import BLOCKING, Answer, Rule, Verdict
from tasks.integrity.record import INTEGRITY_FILE, Integrity
from tasks.model import Model

VERDICT_FILE = "verdict.json"

Document = TypeVar("Document", Evaluation, Benchmark, Integrity, ControlComparison, Verdict)


class GateParameters(Model):
    """What is judged, and by what.

    target: the target's name.
    pool: the pool in which it was measured; None for a proof that was run by hand.
    rules: the rules that bind the target, already chosen from the recipe.
    bases: the proofs of the target's bases that are targets of the same release.
    no_control: why a calibrated target has no control; None if it has one, and if it is not calibrated.
    """

    target: str
    pool: str | None = None
    rules: tuple[DefaultRule | Rule, ...]
    bases: tuple[JudgedBase, ...] = ()
    no_control: str | None = None


def gate(parameters: GateParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write `verdict.json` for the inputs `artifact`, `integrity`, `evaluation` and `benchmark`, those of `bases`, and
    `control` for a target that has one.

    The rules on the weights and on the control are added to those of the recipe, which cannot remove them.

    The facts are `target`, `passed`, `reason`, `metrics` (everything that was measured) and `disturbed` (what disturbed
    the timings, or None). A block is an answer, not an error: the task ends well, and its caller decides.
    Raises InvalidRecipe where no rule binds the target, for nothing passes by absence of gates, and Corrupt where a
    measurement or a verdict cannot be read.
    """
    if not parameters.rules:
        raise InvalidRecipe(f"No gate of the recipe applies to {parameters.target}; add one below 'gates'.")
    evaluation = _read(context, "evaluation", "evaluation.json", Evaluation)
    integrity = _read(context, "integrity", INTEGRITY_FILE, Integrity)
    benchmark = _read(context, "benchmark", "benchmark.json", Benchmark)
    interrupted = context.inputs["benchmark"].facts.get(INTERRUPTED, ())
    metrics = {**integrity.metrics, **evaluation.metrics, **benchmark.metrics}
    not_applicable = context.inputs["evaluation"].facts.get("not_applicable", ())
    artifact = context.inputs["artifact"]
    caveats = caveats_of(artifact)
    # What the conversion knows says more than where the evaluation saw it.
    causes = {**context.inputs["evaluation"].facts.get(CAUSES, {}), **context.inputs["benchmark"].facts.get(CAUSES, {})}
    causes |= {caveat.explains: caveat.text for caveat in caveats if caveat.explains and _is_whole(caveat, metrics)}
    causes |= integrity.causes
    noise_type = context.inputs["evaluation"].facts.get("noise_type")

    def answer(rule: Rule) -> Answer:
        """Apply the bound that is in effect. The line says why it is another than the default."""
        bound, clause = in_effect(rule, metrics, noise_type)
        found = apply(
            bound, metrics, not_applicable, causes, evaluation.comparison, benchmark.disturbed, interrupted=interrupted
        )
        return found.model_copy(update={"why": f"{found.why}, {clause}"}) if clause else found

    own = tuple(apply(rule, metrics, (), causes) for rule in INTEGRITY_RULES)
    if "control" in context.inputs:
        compared = _read(context, "control", CONTROL_FILE, ControlComparison)
        metrics |= compared.metrics
        own += control_answers(compared)
    causes |= {metric: _without_control(parameters) for metric in CONTROL_METRICS if metric not in metrics}
    asked = tuple(map(answer, parameters.rules))
    answers = own + asked
    named = [base.verdict for base in parameters.bases if base.verdict in context.inputs]
    bases = blocking_bases(parameters.bases, {name: _read(context, name, VERDICT_FILE, Verdict) for name in named})
    verdict = Verdict(
        target=parameters.target,
        engine=evaluation.engine,
        pool=parameters.pool,
        artifact=artifact.key,
        files_digest=artifact.files_digest,
        passed=not bases
        and all(answer.outcome not in BLOCKING for answer in answers)
        and any(answer.outcome == "pass" for answer in asked),
        answers=answers,
        bases=bases,
        caveats=(
            *integrity.caveats,
            *(caveat.text for caveat in caveats),
            *((no_control(parameters.no_control),) if parameters.no_control else ()),
        ),
    )
    (context.output / VERDICT_FILE).write_text(verdict.to_json(), encoding="utf-8")
    outcome = "passed" if verdict.passed else "BLOCKED"
    context.progress(f"{outcome} {verdict.target}: {verdict.reason}", 1.0)
    return {
        "target": verdict.target,
        "passed": verdict.passed,
        "reason": verdict.reason,
        "metrics": {name: measured.model_dump(mode="json") for name, measured in sorted(metrics.items())},
        "disturbed": benchmark.disturbed,
    }


def _without_control(parameters: GateParameters) -> str:
    """Return why a number of the comparison with a control is missing."""
    return parameters.no_control or "only a calibrated target whose weights are not its control's has this number"


def _is_whole(caveat: Caveat, metrics: Mapping[str, Measurement]) -> bool:
    """Return whether nothing else than the caveat explains the loss of its metric, as far as that is measured."""
    measured = metrics.get(caveat.only_if_whole) if caveat.only_if_whole else None
    return measured is None or measured.value == 1


def _read(context: TaskContext, name: str, file: str, kind: type[Document]) -> Document:
    return kind.read_file(context.materialize(name) / file, f"{file} of {context.inputs[name].key}")
