"""What every format says about itself without importing its tools; it is read whenever a recipe is parsed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.checkpoint.analysis import Analysis
from tasks.contract import TaskDefinition
from tasks.model import JsonObject, Model


class Target(Model):
    """One thing to make: a format, a quantization, the pool of the hardware it is made and served on.

    requires: the inputs of its conversion by name: "snapshot", "calibration" (a text), or other targets (its bases).
    servable: False for a base that no engine serves (an imatrix).
    options: what the recipe chose beyond the name, with all defaults filled in.
    """

    name: str
    format: str
    quantization: str
    pool: Literal["cpu", "gpu"] = "cpu"
    requires: tuple[str, ...] = ("snapshot",)
    servable: bool = True
    options: JsonObject = {}


class Prediction(Model):
    """What making a target is expected to need, in bytes."""

    size_bytes: int
    memory_bytes: int
    disk_bytes: int


class ConvertParameters(Model):
    """The parameters of every conversion."""

    target: Target


@dataclass(frozen=True)
class Format:
    """A format's entry points.

    names: the target names it makes, the common ones first (for forms and "did you mean").
    parse: (target name, options of the recipe) -> Target; raises InvalidRecipe for an unknown name or option.
    predict: (target, analysis) -> Prediction; raises Unsupported with the reason where it can't be made.
    convert: the conversion's task definition (parameters: ConvertParameters; inputs: the target's `requires`).
    serve_runtime: the runtime its engine lives in; evaluation and benchmark run there.
    runner: "module:function" of (folder, threads) -> tasks.engines.runner.Runner, imported in that runtime.
    inspect: "module:function" of (folder) -> Mapping of facts; raises Corrupt. Imported in that runtime.
    """

    name: str
    names: Sequence[str]
    parse: Callable[[str, Mapping[str, Any]], Target]
    predict: Callable[[Target, Analysis], Prediction]
    convert: TaskDefinition
    serve_runtime: str
    runner: str
    inspect: str
