"""What every format says about itself without importing its tools; it is read whenever a recipe is parsed.

A format is a folder `tasks/formats/NAME/` with the same modules:

    target.py    FORMAT, a `Format`: its targets, their options and predictions
    convert.py   the task that makes a target
    inspect.py   reads a result back without an engine, and refuses one that is not what it says
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.checkpoint.analysis import Analysis
from tasks.contract import TaskDefinition
from tasks.engines.base import Engine
from tasks.model import JsonObject, Model

SOURCES = ("snapshot", "analysis", "calibration")
"""Inputs of a conversion that no other conversion makes."""


class Target(Model):
    """One artifact to make.

    name: what the recipe calls it: the target's own name (`gguf-q4_k_m`), or the one given by `as`.
    format: the format's name.
    scheme: which of the format's targets it is, without the format's name (`q4_k_m`). Code branches on it.
    maker: the name of the one of the format's makers that makes it.
    engines: names of the engines that run it; the first one's numbers are gated. Empty for a base that none runs.
    requires: the inputs of its conversion by name: some of SOURCES, or other targets (its bases).
    options: what the recipe chose beyond the name, with all defaults filled in.
    """

    name: str
    format: str
    scheme: str
    maker: str
    engines: tuple[str, ...]
    requires: tuple[str, ...] = ("snapshot",)
    options: JsonObject = {}

    @property
    def servable(self) -> bool:
        """Whether an engine runs it, so that it can be proven and released."""
        return bool(self.engines)

    @property
    def bases(self) -> list[str]:
        """The names of the targets that it is made from."""
        return [name for name in self.requires if name not in SOURCES]


class Prediction(Model):
    """What making a target is expected to need, in bytes."""

    size_bytes: int
    memory_bytes: int
    disk_bytes: int


class ConvertParameters(Model):
    """The parameters of every conversion."""

    target: Target


class NoOptions(Model):
    """A target that leaves the recipe nothing to choose."""


@dataclass(frozen=True)
class Description:
    """What a scheme and its options decide about a target: what it is made from, and whether an engine runs it."""

    requires: Sequence[str] = ("snapshot",)
    servable: bool = True


@dataclass(frozen=True)
class Format:
    """A format's entry points.

    name: the format's name, which every target's name begins with.
    schemes: scheme to the model of its options, the common schemes first (for forms and "did you mean").
    describe: (scheme, options) -> Description; raises InvalidRecipe for options that contradict each other.
    predict: (target, analysis) -> Prediction; raises Unsupported with the reason where it can't be made.
    makers: maker's name to the conversion's task definition (parameters: ConvertParameters; inputs: the target's
        `requires`); the first is the default.
    engines: what runs its artifacts; the first one's numbers are gated.
    weights: glob patterns of the files that an engine loads, without tokenizer, configuration and serving code.
    inspect: "module:function" of (folder) -> Mapping of facts; raises Corrupt. Imported in an engine's runtime.
    """

    name: str
    schemes: Mapping[str, type[Model]]
    describe: Callable[[str, Any], Description]
    predict: Callable[[Target, Analysis], Prediction]
    makers: Mapping[str, TaskDefinition]
    engines: Sequence[Engine]
    weights: Sequence[str]
    inspect: str

    def __post_init__(self) -> None:
        for field in ("schemes", "makers", "engines", "weights"):
            if not getattr(self, field):
                raise ValueError(f"the format {self.name!r} names no {field}")

    @property
    def target_names(self) -> list[str]:
        """The names of its targets."""
        return [f"{self.name}-{scheme}" for scheme in self.schemes]

    def maker(self, target: Target) -> TaskDefinition:
        """Return the task that makes `target`."""
        return self.makers[target.maker]

    def engine(self, target: Target) -> Engine:
        """Return the engine whose numbers on `target` are gated."""
        return next(engine for engine in self.engines if engine.name == target.engines[0])
