"""The table of all tasks; light, for it is read when a DAG is parsed."""

from collections.abc import Callable, Mapping
from typing import Any

from tasks.contract import TaskDefinition
from tasks.errors import InvalidRecipe
from tasks.evaluation.definitions import REFERENCE, benchmark_definition, evaluate_definition
from tasks.evaluation.text_definition import TEXT
from tasks.formats.base import Format
from tasks.formats.registry import load_format
from tasks.gates.definitions import GATE
from tasks.housekeeping.definitions import SWEEP
from tasks.names import did_you_mean
from tasks.plan.definitions import PREFLIGHT
from tasks.release.definitions import CONCLUDE, PROMOTE, REGISTER, REPORT, ROLL_BACK
from tasks.source.definitions import ANALYZE, FETCH, PIN, SCAN

FIXED = {
    definition.name: definition
    for definition in (
        PIN,
        FETCH,
        SCAN,
        ANALYZE,
        PREFLIGHT,
        TEXT,
        REFERENCE,
        GATE,
        REGISTER,
        REPORT,
        PROMOTE,
        ROLL_BACK,
        CONCLUDE,
        SWEEP,
    )
}

BY_FORMAT: Mapping[str, Callable[[Format], TaskDefinition]] = {
    "convert": lambda format: format.convert,
    "evaluate": evaluate_definition,
    "benchmark": benchmark_definition,
}
"""Tasks whose runtime and code are those of the target's format."""

TASK_NAMES = [*FIXED, *BY_FORMAT]


def find_definition(name: str, parameters: Mapping[str, Any]) -> TaskDefinition:
    """Return a task's definition; raises InvalidRecipe for an unknown name or, where needed, a missing target."""
    if name in FIXED:
        return FIXED[name]
    if name not in BY_FORMAT:
        raise InvalidRecipe(f"There is no task {name!r}{did_you_mean(name, TASK_NAMES)}.")
    try:
        format_name = parameters["target"]["format"]
    except (KeyError, TypeError) as error:
        raise InvalidRecipe(f"The task {name!r} needs a parameter 'target' with its 'format'.") from error
    return BY_FORMAT[name](load_format(format_name))
