"""The toy's one target."""

from tasks.formats.zipped.engine import ENGINE

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.companions import COMPANIONS
from tasks.contract import TaskDefinition
from tasks.formats.base import Description, Format, NoOptions, Prediction, Target


def describe(scheme: str, options: NoOptions) -> Description:
    """Return what the target is made from."""
    return Description()


def predict(target: Target, analysis: Analysis) -> Prediction:
    """Return what it needs: the archive holds two bytes a parameter."""
    size = 2 * analysis.parameters
    return Prediction(size_bytes=size, memory_bytes=600_000_000 + 4 * size, disk_bytes=2 * size)


FORMAT = Format(
    name="zip-checkpoint",
    schemes={"bf16": NoOptions},
    describe=describe,
    predict=predict,
    makers={
        "zipfile": TaskDefinition(
            name="convert",
            function="tasks.formats.zipped.convert:convert",
            parameters="tasks.formats.base:ConvertParameters",
            runtime="torch",
            roots=(ENGINE.serving,),
            reads={"snapshot": ("*.safetensors", *COMPANIONS)},
        )
    },
    engines=(ENGINE,),
    weights=("*.zip",),
    inspect="tasks.formats.zipped.inspect:inspect",
)
