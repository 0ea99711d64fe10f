"""The safetensors target: a validated copy of the source's weights in bf16, in shards of a chosen size."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.companions import COMPANIONS
from tasks.contract import TaskDefinition
from tasks.errors import InvalidRecipe, Unsupported
from tasks.formats.base import Format, Prediction, Target
from tasks.model import Model

NAME = "safetensors-bf16"
# torch and transformers before any weight is loaded.
LIBRARIES_BYTES = 600_000_000


class Options(Model):
    """`shard_size_mb`: the most that a weight file has, in 10^6 bytes; a larger tensor is a file of its own."""

    shard_size_mb: Annotated[int, Field(ge=1)] = 5000


def parse(name: str, options: Mapping[str, Any]) -> Target:
    """Return the target of a name; raises InvalidRecipe for an unknown name or option."""
    if name != NAME:
        raise InvalidRecipe(f"There is no target {name!r}; did you mean {NAME!r}?")
    try:
        chosen = Options.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidRecipe(f"{name}: option {place!r}: {first['msg']} (options: shard_size_mb = 5000).") from error
    return Target(name=name, format="safetensors", quantization="bf16", options=chosen.model_dump(mode="json"))


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
    names=(NAME,),
    parse=parse,
    predict=predict,
    convert=TaskDefinition(
        name="convert",
        function="tasks.formats.safetensors.convert:convert",
        parameters="tasks.formats.base:ConvertParameters",
        runtime="torch",
        code=("tasks/formats/safetensors", "tasks/engines/text_model.py", "tasks/engines/mlmodel.py"),
        reads={"snapshot": ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", *COMPANIONS)},
    ),
    serve_runtime="torch",
    runner="tasks.engines.transformers.runner:open_runner",
    inspect="tasks.formats.safetensors.inspect:inspect",
)
