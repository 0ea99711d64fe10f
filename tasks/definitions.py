"""The table of all tasks. DAG parsing imports this module, so it imports no code that a task runs."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from tasks.contract import TaskDefinition
from tasks.errors import InvalidRecipe
from tasks.evaluation.definitions import REFERENCE
from tasks.evaluation.text_definition import TEXT
from tasks.formats.base import Format, Target
from tasks.formats.registry import load_format
from tasks.gates.definitions import GATE
from tasks.housekeeping.definitions import SWEEP
from tasks.integrity.definitions import compare_definition
from tasks.model import explain
from tasks.names import did_you_mean
from tasks.proving.definitions import benchmark_definition, control_definition, evaluate_definition
from tasks.release.definitions import CONCLUDE, PREFLIGHT, PROMOTE, REGISTER, REPORT, ROLL_BACK
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

OF_TARGET: Mapping[str, Callable[[Format, Target], TaskDefinition]] = {
    "convert": lambda format, target: format.maker(target),
    "compare_weights": lambda format, _: compare_definition(format),
    "compare_control": lambda format, target: control_definition(format, format.engine(target)),
    "evaluate": lambda format, target: evaluate_definition(format, format.engine(target)),
    "benchmark": lambda format, target: benchmark_definition(format, format.engine(target)),
}
"""Tasks whose runtime and code depend on the target: those of its maker or of its engine."""

NO_ENGINE = ("convert", "compare_weights")
"""Tasks of a target that open no engine."""

POOLED = frozenset({REFERENCE.name, *OF_TARGET})
"""Tasks that run in a declared pool, because they need its hardware or much of a host. All other tasks are light."""

TASK_NAMES = [*FIXED, *OF_TARGET]


def find_definition(name: str, parameters: Mapping[str, Any]) -> TaskDefinition:
    """Return the definition of a task. Raises InvalidRecipe for an unknown name and for a missing or wrong target."""
    if name in FIXED:
        return FIXED[name]
    if name not in OF_TARGET:
        raise InvalidRecipe(f"There is no task {name!r}{did_you_mean(name, TASK_NAMES)}.")
    try:
        target = Target.model_validate(parameters["target"])
    except (KeyError, TypeError) as error:
        raise InvalidRecipe(f"The task {name!r} needs a parameter 'target'; add it to the spec.") from error
    except ValidationError as error:
        raise InvalidRecipe(f"The task {name!r} has a wrong parameter 'target': {explain(error, Target)}.") from error
    return OF_TARGET[name](_checked(target, needs_engine=name not in NO_ENGINE), target)


def _checked(target: Target, needs_engine: bool) -> Format:
    """Return the target's format. Raises InvalidRecipe if the format does not have the target's maker or engine."""
    format = load_format(target.format)
    if target.maker not in format.makers:
        raise InvalidRecipe(
            f"The format {format.name} has no maker {target.maker!r}{did_you_mean(target.maker, format.makers)}."
        )
    engines = [engine.name for engine in format.engines]
    if needs_engine and (not target.engines or target.engines[0] not in engines):
        raise InvalidRecipe(
            f"No engine runs the target {target.name!r} (engines of {format.name}: {', '.join(engines)})."
        )
    return format
