"""The task `compare_weights`: it compares the weights of one artifact with those of the source, tensor by tensor.

It needs no engine and no text. The gate blocks an artifact whose weights are not the source's, in every recipe.
"""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any, cast

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.arrays import open_numbers
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.view import FOLDER
from tasks.contract import TaskContext
from tasks.errors import Corrupt
from tasks.formats.registry import load_format
from tasks.formats.stored import Content, Source
from tasks.integrity.companions import check_companions
from tasks.integrity.compare import compare
from tasks.integrity.parameters import CompareParameters
from tasks.integrity.record import INTEGRITY_FILE


def compare_weights(parameters: CompareParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write integrity.json. Return its numbers, the line for the report, and what is wrong.

    Inputs: artifact, snapshot, analysis, and those of the target's bases that the format's `tensors` names. Raises
    Corrupt for a malformed artifact, and for one whose configuration, licences or notices are not the source's. A wrong
    weight is no error here: the gate decides.
    """
    format = load_format(parameters.target.format)
    describe = cast(Callable[..., Content], resolve_name(format.tensors.function))
    analysis = context.materialize("analysis")
    config = Snapshot(analysis / FOLDER).json("config.json")
    if config is None:
        raise Corrupt("The analysis has no config.json; make it again with 'force'.")
    snapshot, artifact = context.materialize("snapshot"), context.materialize("artifact")
    check_companions(artifact, snapshot, config)
    source = Source(
        tensors=open_numbers(snapshot),
        # A model for texts and pictures has the fields of its text model below `text_config`.
        config={**config, **(config.get("text_config") or {})},
        analysis=Analysis.read_file(analysis / "analysis.json", "analysis.json"),
    )
    bases = {name: context.materialize(name) for name in format.tensors.bases if name in context.inputs}
    content = describe(artifact, source, bases)
    found = compare(parameters.target.name, content, source, context.threads, context.progress)
    (context.output / INTEGRITY_FILE).write_text(found.to_json(), encoding="utf-8")
    for line in (found.summary, *found.causes.values(), *found.caveats):
        context.progress(line, 1.0)
    return {
        "summary": found.summary,
        "faults": list(found.causes.values()),
        **{name: measured.value for name, measured in found.metrics.items()},
    }
