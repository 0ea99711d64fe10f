"""The types that describe a format: its targets, makers, engines and predictions.

Every parse of a recipe imports this module, so it imports no converter and no engine. A format is a folder
`tasks/formats/NAME/` with the same modules:

    target.py    FORMAT, a `Format`: its targets, their options and predictions
    convert.py   the task that makes a target
    inspect.py   reads an artifact without an engine; raises Corrupt for a file that contradicts its format or itself
    tensors.py   says which numbers of the source each stored tensor holds, and reads them without an engine
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.checkpoint.analysis import Analysis
from tasks.contract import TaskDefinition
from tasks.engines.base import Engine
from tasks.model import JsonObject, Model

SOURCES = ("snapshot", "analysis", "calibration")
"""Inputs of a conversion that are not made by another conversion."""

SOURCE = ("snapshot", "analysis")
"""The inputs of a conversion of the source: its weights and notices, and its view (see tasks/checkpoint/view.py)."""


class Target(Model):
    """One artifact to make.

    name: the name in the recipe: the target's own name (`gguf-q4_k_m`), or the name given by `as`.
    format: the format's name.
    scheme: the target's own name without the format's name (`q4_k_m`). Code branches on the scheme, not on the name.
    maker: the name of the converter that makes it; one of the format's makers.
    engines: names of the engines that can run it, in the format's order. Empty for a base that no engine can run.
    on: names of the pools in each of which it must be proven. If it is empty, it is proven once, in the first pool that
        offers what one of its engines needs.
    requires: names of the inputs of its conversion: some of SOURCES, or other targets (its bases).
    options: the recipe's options for this target, with all defaults filled in.
    """

    name: str
    format: str
    scheme: str
    maker: str
    engines: tuple[str, ...]
    on: tuple[str, ...] = ()
    requires: tuple[str, ...] = SOURCE
    options: JsonObject = {}

    @property
    def servable(self) -> bool:
        """Whether an engine can run it. Only such a target can be measured and released."""
        return bool(self.engines)

    @property
    def bases(self) -> list[str]:
        """The names of the other targets from which this one is made."""
        return [name for name in self.requires if name not in SOURCES]

    @property
    def proof_names(self) -> list[str]:
        """The names of its proofs, in the order of `on`: the target's own name, or TARGET.POOL if there are several."""
        return [self.name] if len(self.on) < 2 else [f"{self.name}.{pool}" for pool in self.on]

    def converted(self) -> "Target":
        """Return the target as its conversion gets it. The pools of its proofs decide nothing about its bytes."""
        return self.model_copy(update={"on": ()})

    def measured_by(self, engine: str) -> "Target":
        """Return the target as the tasks get it that measure it in one engine."""
        return self.model_copy(update={"on": (), "engines": (engine,)})


class Prediction(Model):
    """The expected cost of making one target, in bytes.

    size_bytes: the artifact's size.
    memory_bytes: the peak memory of the conversion, the comparison of weights, or the engine, whichever is largest.
    disk_bytes: the disk space for the conversion's inputs and output.
    """

    size_bytes: int
    memory_bytes: int
    disk_bytes: int


class ConvertParameters(Model):
    """The parameters of every conversion."""

    target: Target


class NoOptions(Model):
    """The options of a target that has none."""


@dataclass(frozen=True)
class Description:
    """The facts about a target that follow from its scheme and options.

    requires: the inputs of its conversion, as in `Target.requires`.
    servable: whether an engine can run it.
    control: of a calibrated target, the options that make the same scheme without calibration. The result is its
        control, with which it is compared (see tasks/evaluation/control.py). None if it is not calibrated or has none.
    no_control: why a calibrated target has no control; a clause without a full stop.
    """

    requires: Sequence[str] = SOURCE
    servable: bool = True
    control: JsonObject | None = None
    no_control: str | None = None


@dataclass(frozen=True)
class Precision:
    """How coarse the products of a target are. The default gates depend on it; see tasks/gates/defaults.toml.

    weights: bits of a stored weight, as most of its matrices have them: 16 for float16 and bfloat16.
    activations: bits to which the engine rounds activations with one scale for a whole tensor, because the format asks
        for it; None if it does not. Rounding in blocks costs little and does not count.
    """

    weights: int
    activations: int | None = None


@dataclass(frozen=True)
class Reading:
    """How the tensors of a format's files are read, for the comparison with the source.

    function: "module:function" of (folder, tasks.formats.stored.Source, bases' folders by name) ->
        tasks.formats.stored.Content; raises Corrupt for a malformed file.
    runtime: the environment in which it runs; it needs numpy.
    native: names of native tools that it reads with.
    bases: names of bases whose artifacts it gets besides, for targets that are made from them.
    """

    function: str
    runtime: str
    native: Sequence[str] = ()
    bases: Sequence[str] = ()


@dataclass(frozen=True)
class Format:
    """The entry points of a format.

    name: the format's name; the names of all its targets begin with it.
    schemes: scheme to the model of its options. Common schemes come first, because forms and messages use this order.
    describe: (scheme, options) -> Description; raises InvalidRecipe for options that contradict each other.
    predict: (target, analysis) -> Prediction; raises Unsupported, with the reason, if the target cannot be made.
    makers: maker's name to the definition of its conversion task (parameters: ConvertParameters; inputs: the target's
        `requires`). The first maker is the default.
    engines: the engines that can run its artifacts. In each pool, the first one that the pool can run is measured.
    precisions: scheme to the precision of its targets; for every scheme that an engine can run.
    weights: glob patterns of the weight files, without tokenizer, configuration and serving code.
    inspect: "module:function" of (folder) -> Mapping of facts; raises Corrupt. It is imported in the engine's runtime.
    tensors: how its files' tensors are read, by another reader than the converter's own where there is one.
    threads: scheme to the most threads that help its conversion; the others take what their maker's definition says.
    same_weights: "module:function" of (folder, other folder) -> bool: whether two artifacts store the same weights,
        byte for byte, whatever else their files say. It is imported in the engine's runtime. None for a format without
        controls.
    """

    name: str
    schemes: Mapping[str, type[Model]]
    describe: Callable[[str, Any], Description]
    predict: Callable[[Target, Analysis], Prediction]
    makers: Mapping[str, TaskDefinition]
    engines: Sequence[Engine]
    precisions: Mapping[str, Precision]
    weights: Sequence[str]
    inspect: str
    tensors: Reading
    threads: Mapping[str, int] = field(default_factory=dict)
    same_weights: str | None = None

    def __post_init__(self) -> None:
        for name in ("schemes", "makers", "engines", "precisions", "weights"):
            if not getattr(self, name):
                raise ValueError(f"the format {self.name!r} has no {name}; add them to its FORMAT in target.py")

    @property
    def target_names(self) -> list[str]:
        """The names of its targets."""
        return [f"{self.name}-{scheme}" for scheme in self.schemes]

    def maker(self, target: Target) -> TaskDefinition:
        """Return the task that makes `target`."""
        definition = self.makers[target.maker]
        return replace(definition, threads=self.threads.get(target.scheme, definition.threads))

    def described(self, target: Target) -> Description:
        """Return what follows from the target's scheme and options."""
        return self.describe(target.scheme, self.schemes[target.scheme].model_validate(target.options))

    def control(self, target: Target) -> Target | None:
        """Return the control of a calibrated target under the scheme's own name, or None if it has none."""
        options = self.described(target).control
        if options is None:
            return None
        chosen = self.schemes[target.scheme].model_validate(options)
        return target.model_copy(
            update={
                "name": f"{self.name}-{target.scheme}",
                "on": (),
                "requires": tuple(self.describe(target.scheme, chosen).requires),
                "options": chosen.model_dump(mode="json"),
            }
        )

    def engine(self, target: Target) -> Engine:
        """Return the first engine of `target`, which is the one that a task measures."""
        return next(engine for engine in self.engines if engine.name == target.engines[0])

    def engines_of(self, target: Target) -> list[Engine]:
        """Return the engines that can run `target`."""
        return [engine for engine in self.engines if engine.name in target.engines]
