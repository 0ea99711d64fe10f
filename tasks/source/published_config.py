"""Reads config.json before anything else is downloaded: it decides within a second what cannot be released."""

from tasks.checkpoint.model_config import CONFIG, ModelConfig
from tasks.checkpoint.snapshot import Snapshot
from tasks.contract import TaskContext
from tasks.errors import Unsupported
from tasks.settings import home
from tasks.source.download import download
from tasks.source.hub import HubRepository
from tasks.source.selection import find_config


def read_config(repository: HubRepository, context: TaskContext) -> ModelConfig:
    """Download config.json into the task's scratch folder and parse it.

    Raises NotFound where there is none, Corrupt where it is no configuration, and what `download` raises.
    """
    partials = home() / "cache" / "partial"
    # The partial file stays for `fetch`, which then has these bytes already.
    download(repository, find_config(repository), context.scratch / CONFIG, partials, lambda _: None, context.progress)
    return Snapshot(context.scratch).config


def check_unquantized(repository: HubRepository, config: ModelConfig) -> None:
    """Raise Unsupported for a model whose weights are quantized."""
    if config.quantization:
        raise Unsupported(
            f"{CONFIG} of {repository.name} has a quantization_config ({config.quantization}), and Hallmark makes its "
            "files from weights that are not quantized; release the model from which this one was made. If the weights "
            "are plain numbers after all, ask the publisher to remove the field."
        )
