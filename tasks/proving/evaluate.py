"""The task `evaluate`: it compares one artifact with the source model, in the engine that will serve it.

The gates decide by these numbers whether the artifact is released.
"""

from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from tasks.checkpoint.analysis import Analysis
from tasks.contract import TaskContext
from tasks.engines.base import Engine
from tasks.errors import ToolFailed
from tasks.evaluation.caveats import caveats_of
from tasks.evaluation.measure import absent_metrics, check_complete, measure
from tasks.evaluation.measurement import WINDOWS_FILE, Measurement
from tasks.evaluation.metrics import CAUSES, SERVER_PARITY
from tasks.evaluation.noise_floor import IDENTICAL
from tasks.evaluation.parity_causes import clause
from tasks.evaluation.reference_files import ReferenceInfo, ServedCases, read_part
from tasks.evaluation.served_parity import server_chat_parity
from tasks.evaluation.size import measure_size
from tasks.evaluation.uncertainty import rounded
from tasks.formats.registry import load_format
from tasks.host.tools import HOST_FIXES, LAST_LINES
from tasks.proving.opening import check_artifact
from tasks.proving.parameters import EvaluateParameters


def evaluate(parameters: EvaluateParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write evaluation.json, and windows.json with the divergence of each window.

    Return the engine, the rounded numbers, the metrics that are `not_applicable`, and the fact CAUSES.

    A metric is not applicable if it does not exist for this source model and evaluation text. The fact `noise_type` is
    the type in which the source's noise was measured.
    Inputs: artifact, reference, analysis, and integrity; without it, a file with the source's weights is judged as any
    other. The artifact's fact `caveats` becomes notes of the evaluation, and so do those of `verdict_caveats` that
    explain no metric.
    Raises Unmeasured if the artifact has no file with weights; this is checked first, because measuring takes hours.
    """
    format = load_format(parameters.target.format)
    analysis = Analysis.read_file(context.materialize("analysis") / "analysis.json", "analysis.json")
    size = measure_size(context.inputs["artifact"], format.weights, analysis.parameters)
    limit = context.inputs["artifact"].facts.get("context_limit")
    known = dict(size)
    if "integrity" in context.inputs:
        # The gate applies another noise floor to a file with the source's weights. The comparison must end by the same.
        known[IDENTICAL] = Measurement(value=context.inputs["integrity"].facts[IDENTICAL])
    reference = context.materialize("reference")
    load_artifact = check_artifact(parameters.target, context.materialize("artifact"), context.threads)
    # Before the long work, and while the engine itself needs no memory.
    served, server_notes = _ask_server(format.engine(parameters.target), reference, context)
    if served is not None:
        known[SERVER_PARITY] = served
    context.progress("loading the artifact", 0.0)
    runner = load_artifact()
    try:
        shared = context.workspace("reference")
        measured, windows, causes = measure(
            runner, reference, context.progress, shared, limit, parameters.bounds, known
        )
    finally:
        runner.close()
    artifact = context.inputs["artifact"]
    metrics = {**measured.metrics, **size}
    absent = absent_metrics(reference)
    if served is None:
        absent.add(SERVER_PARITY)
    else:
        metrics[SERVER_PARITY] = served
    if server_notes:
        causes = {**causes, SERVER_PARITY: clause(server_notes[0])}
    # What the conversion reports and no metric measures.
    caveats = (
        *(caveat.sentence for caveat in caveats_of(artifact) if caveat.explains is None),
        *artifact.facts.get("caveats", ()),
    )
    evaluation = measured.model_copy(update={"metrics": metrics, "notes": (*measured.notes, *server_notes, *caveats)})
    check_complete(evaluation, absent)
    (context.output / "evaluation.json").write_text(evaluation.to_json(), encoding="utf-8")
    (context.output / WINDOWS_FILE).write_text(windows.to_json(), encoding="utf-8")
    engine, _, version = runner.engine.partition(" ")
    context.version(engine, version)
    numbers = {name: rounded(found.value) for name, found in evaluation.metrics.items()}
    noise = read_part(reference, "reference.json", ReferenceInfo).noise
    noise_type = {"noise_type": noise.type} if noise else {}
    return {"engine": runner.engine, "not_applicable": sorted(absent), **noise_type, CAUSES: causes, **numbers}


def _ask_server(engine: Engine, reference: Path, context: TaskContext) -> tuple[Measurement | None, list[str]]:
    """Return the parity of the chats in the engine's own server, None without a server or a chat, and notes on it."""
    if engine.server is None:
        return None, []
    chats = [case for case in read_part(reference, "served.json", ServedCases).prompts if case.messages is not None]
    if not chats:
        return None, []
    context.progress("asking the engine's own server for its chats", 0.0)
    read_chats = resolve_name(engine.server.read_chats)
    facts, messages = context.inputs["artifact"].facts, [case.messages for case in chats]
    try:
        found = read_chats(context.materialize("artifact"), facts, messages, context.scratch)
    except ToolFailed as error:
        if any(fix in str(error) for fix in HOST_FIXES.values()):
            raise
        # A server that ends at the template of the artifact serves no chat.
        found = [str(error).partition(LAST_LINES)[0].rstrip(".")] * len(chats)
    return server_chat_parity(chats, found)
