"""The safetensors format: its one target, `safetensors-bf16`.

The artifact is a validated copy of the source's weights, rounded to bf16, in shards of a chosen size. Recipes and
preflight read this module, so it imports no library that loads weights.
"""

from typing import Annotated

from pydantic import Field

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.companions import NOTICES, WEIGHTS
from tasks.checkpoint.memories import WITHOUT_KEYS_AND_VALUES
from tasks.checkpoint.view import FILES
from tasks.contract import TaskDefinition
from tasks.engines.transformers.engine import ENGINE as TRANSFORMERS
from tasks.errors import Unsupported
from tasks.formats.base import Description, Format, Precision, Prediction, Reading, Target
from tasks.model import Model

# Memory of torch and transformers before any weight is loaded.
LIBRARIES_BYTES = 600_000_000


class Options(Model):
    """shard_size_mb: the largest size of a weight file, in 10^6 bytes. A larger tensor gets its own file."""

    shard_size_mb: Annotated[int, Field(ge=1)] = 5000


def describe(scheme: str, options: Options) -> Description:
    """Return the inputs of the conversion: the source."""
    return Description()


def predict(target: Target, analysis: Analysis) -> Prediction:
    """Return the bytes that the target will need.

    Raises Unsupported for a model that needs its repository's code, has no KV cache, or has no tokenizer.
    """
    if analysis.needs_code:
        raise Unsupported(
            f"{analysis.architecture} needs Python code from its repository, which Hallmark never executes; "
            "leave safetensors-bf16 out of the recipe for this model."
        )
    if analysis.model_type in WITHOUT_KEYS_AND_VALUES:
        raise Unsupported(
            f"{analysis.architecture} has no KV cache (past_key_values), which the transformers runner needs; "
            "leave safetensors-bf16 out of the recipe for this model."
        )
    if analysis.tokenizer == "none":
        raise Unsupported(
            "The repository has no tokenizer that Hallmark reads, so the artifact could not be served; "
            "add tokenizer.json to it."
        )
    size = 2 * analysis.parameters
    # The conversion streams the weights; only the engine holds the whole model in memory.
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
            # They are written into the artifact.
            values=TRANSFORMERS.requirements,
            reads={"snapshot": (*WEIGHTS, *NOTICES), "analysis": FILES},
        )
    },
    engines=(TRANSFORMERS,),
    precisions={"bf16": Precision(16)},
    weights=("*.safetensors",),
    inspect="tasks.formats.safetensors.inspect:inspect",
    tensors=Reading("tasks.formats.safetensors.tensors:stored_tensors", runtime="torch"),
)
