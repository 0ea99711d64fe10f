"""The safetensors target: a validated copy of the source's weights in bf16, in shards of a chosen size."""

from typing import Annotated

from pydantic import Field

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.companions import MODEL, NOTICES
from tasks.contract import TaskDefinition
from tasks.engines.transformers.engine import ENGINE as TRANSFORMERS
from tasks.errors import Unsupported
from tasks.formats.base import Description, Format, Prediction, Target
from tasks.model import Model

# torch and transformers before any weight is loaded.
LIBRARIES_BYTES = 600_000_000


class Options(Model):
    """`shard_size_mb`: the most that a weight file has, in 10^6 bytes; a larger tensor is a file of its own."""

    shard_size_mb: Annotated[int, Field(ge=1)] = 5000


def describe(scheme: str, options: Options) -> Description:
    """Return what the target is made from."""
    return Description()


def predict(target: Target, analysis: Analysis) -> Prediction:
    """Return the bytes it will need; raises Unsupported for a model that needs its repository's own code."""
    if analysis.needs_code:
        raise Unsupported(
            f"{analysis.architecture} needs its repository's own Python code, which the runner does not run; "
            "leave safetensors-bf16 out of the recipe for this model."
        )
    if analysis.quantization:
        raise Unsupported(
            f"The source is quantized already ({analysis.quantization}); release the model it was made from."
        )
    if analysis.tokenizer == "none":
        raise Unsupported("The snapshot has no tokenizer, without which the artifact could not be served.")
    size = 2 * analysis.parameters
    # The copy itself streams; it is the runner that holds the whole model.
    return Prediction(size_bytes=size, memory_bytes=LIBRARIES_BYTES + size, disk_bytes=size + analysis.weight_bytes)


FORMAT = Format(
    name="safetensors",
    schemes={"bf16": Options},
    describe=describe,
    predict=predict,
    makers={
        "hallmark": TaskDefinition(
            name="convert",
            function="tasks.formats.safetensors.convert:convert",
            parameters="tasks.formats.base:ConvertParameters",
            runtime="torch",
            roots=(TRANSFORMERS.serving,),
            reads={"snapshot": (*MODEL, *NOTICES)},
        )
    },
    engines=(TRANSFORMERS,),
    weights=("*.safetensors",),
    inspect="tasks.formats.safetensors.inspect:inspect",
)
