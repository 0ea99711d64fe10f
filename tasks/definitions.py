"""The table of all tasks; light, for it is read when a DAG is parsed."""

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
from tasks.model import explain
from tasks.names import did_you_mean
from tasks.plan.definitions import PREFLIGHT
from tasks.proving.definitions import benchmark_definition, evaluate_definition
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

OF_TARGET: Mapping[str, Callable[[Format, Target], TaskDefinition]] = {
    "convert": lambda format, target: format.maker(target),
    "evaluate": lambda format, target: evaluate_definition(format, format.engine(target)),
    "benchmark": lambda format, target: benchmark_definition(format, format.engine(target)),
}
"""Tasks whose runtime and code are those of the target's maker or engine."""

POOLED = frozenset({REFERENCE.name, *OF_TARGET})
"""Tasks that run in a declared pool, because they need its hardware or much of a host; all others are light."""

TASK_NAMES = [*FIXED, *OF_TARGET]


def find_definition(name: str, parameters: Mapping[str, Any]) -> TaskDefinition:
    """Return a task's definition; raises InvalidRecipe for an unknown name or, where needed, a missing target."""
    if name in FIXED:
        return FIXED[name]
    if name not in OF_TARGET:
        raise InvalidRecipe(f"There is no task {name!r}{did_you_mean(name, TASK_NAMES)}.")
    try:
        target = Target.model_validate(parameters["target"])
    except (KeyError, TypeError) as error:
        raise InvalidRecipe(f"The task {name!r} needs a parameter 'target'.") from error
    except ValidationError as error:
        raise InvalidRecipe(f"The task {name!r} got a wrong parameter 'target': {explain(error)}.") from error
    return OF_TARGET[name](_checked(target, needs_engine=name != "convert"), target)


def _checked(target: Target, needs_engine: bool) -> Format:
    """Return the target's format; raises InvalidRecipe where the target's maker or engine is none of the format's."""
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
