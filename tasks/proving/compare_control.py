"""The task `compare_control`: it compares a calibrated artifact with its control, in the engine that serves both.

The control is the same type made without calibration. Only its divergence is measured, on the windows of the artifact's
evaluation, and only until it is clear which of the two is worse. So it costs a part of an evaluation.
"""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

from tasks.contract import TaskContext
from tasks.evaluation.control import CONTROL_FILE, ControlComparison, PairedDivergence
from tasks.evaluation.measurement import WINDOWS_FILE, WindowDivergences
from tasks.evaluation.paired import compare_with
from tasks.evaluation.reference_reader import open_reference
from tasks.evaluation.uncertainty import rounded
from tasks.formats.registry import load_format
from tasks.proving.opening import open_artifact
from tasks.proving.parameters import CompareControlParameters


def compare_control(parameters: CompareControlParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write control.json. Return `unchanged`, and the rounded numbers if the control was measured.

    Inputs: artifact; control, the artifact of its control; evaluation of the artifact; reference. Raises Corrupt for an
    input that cannot be read, and what `compare_windows` raises. A worse artifact is no error here: the gate decides.
    """
    target = parameters.target
    same_weights = load_format(target.format).same_weights
    assert same_weights is not None, f"the format {target.format!r} has no controls"
    artifact, control = context.materialize("artifact"), context.materialize("control")
    context.progress("comparing the weights with the control's", 0.0)
    unchanged = bool(resolve_name(same_weights)(artifact, control))
    found = ControlComparison(
        target=target.name, unchanged=unchanged, divergence=None if unchanged else _measure(parameters, context)
    )
    (context.output / CONTROL_FILE).write_text(found.to_json(), encoding="utf-8")
    numbers = {name: rounded(measured.value) for name, measured in found.metrics.items()}
    return {"unchanged": unchanged, **numbers}


def _measure(parameters: CompareControlParameters, context: TaskContext) -> PairedDivergence:
    windows = WindowDivergences.read_file(
        context.materialize("evaluation") / WINDOWS_FILE, f"{WINDOWS_FILE} of the evaluation"
    )
    reference = open_reference(context.materialize("reference"), context.workspace("reference"))
    context.progress("loading the control", 0.0)
    runner = open_artifact(parameters.target, context.materialize("control"), context.threads)
    engine, _, version = runner.engine.partition(" ")
    context.version(engine, version)
    try:
        return compare_with(
            windows,
            runner,
            reference,
            lambda done, state: context.progress(f"comparing the control{state and f': {state}'}", done),
        )
    finally:
        runner.close()
