"""Says why a repository has no weights that can be released: what it has instead, and what the user can do."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from tasks.errors import NotFound, TerminalError, Unsupported
from tasks.source.hub import HubRepository

SHARD = re.compile(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)")

WEIGHTS = re.compile(r"(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?")
"""The files of weights that transformers saves."""

TRAINING = ("training_args.bin", "optimizer.*", "scheduler.*", "scaler.*", "rng_state*")
"""What a training keeps beside the weights, with endings of weights."""

AHEAD = (
    ("adapter_model.*", "an adapter; merge it into its base model and release the result"),
    ("model_index.json", "a diffusion pipeline; only language models are released"),
)
"""What tells the kind of a repository whatever else it has: a diffusion pipeline has weights in its folders."""

OTHER_FORMATS = (
    ("*.gguf", "GGUF files, which are conversions already; name the repository they were made from"),
    ("*.onnx", "ONNX files, which are conversions already; name the repository they were made from"),
    ("openvino_*", "OpenVINO files, which are conversions already; name the repository they were made from"),
    ("consolidated*", "consolidated weights; name its repository in the transformers layout"),
    ("*.pth", "weights in the trainer's own layout; name its repository in the transformers layout"),
    ("tf_model.h5", "TensorFlow weights; save them as safetensors with transformers"),
    ("flax_model*", "Flax weights; save them as safetensors with transformers"),
    ("*.safetensors", "safetensors under unconventional names; name them model.safetensors, or add an index of shards"),
    ("*.bin", "pickles under unconventional names; if they are weights, save them as safetensors with transformers"),
)
"""What a repository without such weights may have instead, and what the user can do. The first match is reported."""


def no_weights(repository: HubRepository) -> TerminalError:
    """Return the error of a repository that has neither weights nor an index of them under their names at its top."""
    name, top = repository.name, PurePosixPath()
    paths = [path for file in repository.files if not _is_training(path := PurePosixPath(file.path))]
    if found := _first(AHEAD, repository, paths):
        return found
    if shard := next((path for path in paths if path.parent == top and SHARD.fullmatch(path.name)), None):
        index = f"{shard.name.split('-')[0]}{shard.suffix}.index.json"
        return Unsupported(f"{name} has shards of weights ({shard}) and no {index}; ask the publisher for it.")
    if below := next((path for path in paths if WEIGHTS.fullmatch(path.name)), None):
        return Unsupported(
            f"{name} has weights only in folders ({below}), and the release takes those at the top; "
            f"ask the publisher to move them, or publish the folder {below.parent} as a model of its own."
        )
    if found := _first(OTHER_FORMATS, repository, paths):
        return found
    return NotFound(f"{name} has no weights at {repository.commit}; name one that has model.safetensors.")


def _first(
    known: Sequence[tuple[str, str]], repository: HubRepository, paths: Sequence[PurePosixPath]
) -> Unsupported | None:
    origin = f" (its card names {repository.base_models[0]})" if repository.base_models else ""
    for pattern, there_is in known:
        for path in paths:
            if fnmatchcase(path.name, pattern):
                return Unsupported(
                    f"{repository.name} has no model.safetensors, but {there_is}{origin}; found: {path}."
                )
    return None


def _is_training(path: PurePosixPath) -> bool:
    return any(fnmatchcase(path.name, pattern) for pattern in TRAINING)
