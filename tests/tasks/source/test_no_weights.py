"""What a repository has in place of weights is named with a file, and what it does not have is not claimed."""

import pytest

from tasks.errors import NotFound, TerminalError, Unsupported
from tasks.source.hub import HubFile, HubRepository
from tasks.source.no_weights import no_weights
from tasks.source.selection import find_weights

COMMIT = "1" * 40
GGUF = "GGUF files, which are conversions already; name the repository they were made from"
PICKLES = "pickles under unconventional names; if they are weights, save them as safetensors with transformers"
FOLDER = "and the release takes those at the top; ask the publisher to move them, or publish the folder"


def repository(*paths: str, origin: tuple[str, ...] = ()) -> HubRepository:
    files = tuple(HubFile(path, 1, "0" * 40, None) for path in ("README.md", "config.json", *paths))
    return HubRepository("a/b", COMMIT, ("mit",), False, False, None, origin, files)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ["adapter_model.bin", "checkpoint-500/model.safetensors"],
            "has no model.safetensors, but an adapter; merge",
        ),
        (["model_index.json", "text_encoder/model.safetensors"], "has no model.safetensors, but a diffusion pipeline"),
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.gguf"],
            "has shards of weights (model-00001-of-00002.safetensors) and no model.safetensors.index.json; ask the",
        ),
        (
            ["pytorch_model-00001-of-00002.bin", "m.gguf"],
            "has shards of weights (pytorch_model-00001-of-00002.bin) and no pytorch_model.bin.index.json; ask the",
        ),
        (
            ["onnx/model.onnx", "weights/pytorch_model.bin"],
            f"has weights only in folders (weights/pytorch_model.bin), {FOLDER} weights as a model of its own.",
        ),
        (
            ["optimizer.bin", "step-5/model-00001-of-00002.safetensors"],
            f"has weights only in folders (step-5/model-00001-of-00002.safetensors), {FOLDER} step-5 as a model",
        ),
        (["m-Q4_K_M.gguf", "onnx/model.onnx"], f"has no model.safetensors, but {GGUF}; found: m-Q4_K_M.gguf."),
        (["onnx/model.onnx"], "has no model.safetensors, but ONNX files"),
        (["openvino_model.bin", "openvino_model.xml"], "has no model.safetensors, but OpenVINO files"),
        (["consolidated.00.pth"], "has no model.safetensors, but consolidated weights"),
        (["rng_state.pth", "ckpt.pth"], "has no model.safetensors, but weights in the trainer's own layout"),
        (["tf_model.h5"], "has no model.safetensors, but TensorFlow weights"),
        (["flax_model.msgpack"], "has no model.safetensors, but Flax weights"),
        (["weights.safetensors"], "has no model.safetensors, but safetensors under unconventional names; name them"),
        (["training_args.bin", "w.bin"], f"has no model.safetensors, but {PICKLES}; found: w.bin."),
    ],
)
def test_what_is_there_is_named(paths: list[str], message: str) -> None:
    found = no_weights(repository(*paths))
    assert type(found) is Unsupported and str(found).startswith(f"a/b {message}")


@pytest.mark.parametrize(
    "path", ["training_args.bin", "optimizer.bin", "checkpoint-5/scheduler.bin", "rng_state_0.pth"]
)
def test_what_a_training_keeps_is_no_weights(path: str) -> None:
    found = no_weights(repository(path))
    assert type(found) is NotFound
    assert str(found) == f"a/b has no weights at {COMMIT}; name one that has model.safetensors."


def test_the_origin_that_the_card_names_is_given() -> None:
    found = no_weights(repository("m.gguf", origin=("acme/origin",)))
    assert str(found).endswith("they were made from (its card names acme/origin); found: m.gguf.")


def test_weights_under_their_names_are_no_error() -> None:
    with pytest.raises(TerminalError, match="only in folders"):
        find_weights(repository("old/model.safetensors"))
    assert find_weights(repository("old/model.safetensors", "model.safetensors")).file.path == "model.safetensors"
