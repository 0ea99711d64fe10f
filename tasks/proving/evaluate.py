"""The task that measures one artifact against the source, in the engine that will serve it."""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.analysis import Analysis
from tasks.contract import TaskContext
from tasks.evaluation.measure import absent_metrics, check_complete, measure
from tasks.evaluation.size import measure_size
from tasks.evaluation.uncertainty import rounded
from tasks.formats.registry import load_format
from tasks.proving.opening import open_artifact
from tasks.proving.parameters import EvaluateParameters


def evaluate(parameters: EvaluateParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write evaluation.json; inputs: artifact, reference, analysis.

    Returns the engine, the numbers, rounded, and as `not_applicable` those that do not exist for this source and text.
    Raises Unmeasured where the artifact has no file of weights, before any hour is spent on it.
    """
    format = load_format(parameters.target.format)
    analysis = Analysis.read_file(context.materialize("analysis") / "analysis.json", "analysis.json")
    size = measure_size(context.inputs["artifact"], format.weights, analysis.parameters)
    reference = context.materialize("reference")
    context.progress("loading the artifact", 0.0)
    runner = open_artifact(parameters.target, context.materialize("artifact"), context.threads)
    try:
        measured = measure(runner, reference, context.progress, context.workspace("reference"))
    finally:
        runner.close()
    evaluation = measured.model_copy(update={"metrics": {**measured.metrics, **size}})
    absent = absent_metrics(reference)
    check_complete(evaluation, absent)
    (context.output / "evaluation.json").write_text(evaluation.to_json(), encoding="utf-8")
    engine, _, version = runner.engine.partition(" ")
    context.version(engine, version)
    numbers = {name: rounded(found.value) for name, found in evaluation.metrics.items()}
    return {"engine": runner.engine, "not_applicable": sorted(absent), **numbers}
