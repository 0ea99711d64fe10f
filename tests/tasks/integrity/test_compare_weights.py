"""The task on real files of every format: each is whole, and each fault that is planted into a file blocks it."""

import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoint import headers
from tasks.errors import Corrupt
from tasks.formats.gguf.header import read_header
from tasks.formats.registry import load_format, parse_target
from tasks.integrity.compare_weights import compare_weights
from tasks.integrity.parameters import CompareParameters
from tasks.integrity.record import Integrity
from tasks.settings import REPOSITORY
from tests.fixtures.context import make_context
from tests.matrix.make import FACTS, convert

pytestmark = pytest.mark.runtime("torch")

DEMO = REPOSITORY / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"
IDENTICAL = {"safetensors-bf16", "onnx-fp32"}
TARGETS = (
    *("safetensors-bf16", "gguf-f16", "gguf-q8_0", "gguf-q4_0", "gguf-q4_k_m", "gguf-q2_k", "gguf-iq2_xxs"),
    *("onnx-fp32", "onnx-int8", "onnx-int8-dynamic"),
)


NEAR_ZERO = (1e-4, 4e-5, 1e-6, 1e-9, 2.6e-23)
"""Root mean squares of rows such as those of tokens and units that training never used."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the demo model, with some rows near zero in the embedding and in a matrix of a layer."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copytree(DEMO, folder / "snapshot")
    file = folder / "snapshot" / "model.safetensors"
    for name in ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"):
        tensor = headers.read_header(file).tensors[name]
        bits = np.memmap(file, "<u2", "r+", tensor.start, tuple(tensor.shape))
        for row, size in enumerate(NEAR_ZERO, start=len(bits) - 20):
            numbers = np.random.default_rng(row).normal(0, size, bits.shape[1]).astype(np.float32)
            bits[row] = numbers.view(np.uint32) >> 16
        bits.flush()
    return folder


def made(root: Path, name: str) -> Path:
    """Return the folder of a target's files; they are made once."""
    if not (root / name / FACTS).is_file():
        convert(root, parse_target(name), root / name)
    return root / name / "output"


def compared(root: Path, tmp_path: Path, name: str, artifact: Path) -> Integrity:
    target = parse_target(name)
    folders = {"artifact": artifact, "snapshot": root / "snapshot", "analysis": root / "analysis" / "output"}
    bases = [base for base in load_format(target.format).tensors.bases if base in target.bases]
    folders |= {base: root / base / "output" for base in bases}
    context = make_context(tmp_path / "task", folders)
    facts = compare_weights(CompareParameters(target=target), context)
    found = Integrity.from_json((context.output / "integrity.json").read_text())
    assert facts["summary"] == found.summary and facts["faults"] == list(found.causes.values())
    return found


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_converter_makes_is_whole(root: Path, tmp_path: Path, name: str) -> None:
    found = compared(root, tmp_path, name, made(root, name))
    assert (found.causes, found.not_compared, found.from_nowhere, found.lost) == ({}, {}, (), ())
    assert found.metrics["weights_identical"].value == (name in IDENTICAL)
    assert {source for tensor in found.tensors for source in tensor.sources} | set(found.dropped) == set(
        headers.read_header(root / "snapshot" / "model.safetensors").tensors
    )


def scaled_in_place(file: Path, start: int, size: int, factor: float, halves: int = 1, at: int = 0) -> None:
    """Multiply float16 numbers of a file: of every `halves` ones, that at place `at`."""
    numbers = np.memmap(file, "<f2", "r+", start, (size // 2,))
    numbers[at::halves] = (numbers[at::halves].astype(np.float32) * np.float32(factor)).astype(np.float16)
    numbers.flush()


def gguf_tensor(file: Path, name: str) -> tuple[int, int]:
    (tensor,) = (tensor for tensor in read_header(file).tensors if tensor.name == name)
    return tensor.start, tensor.bytes


def scale_f16(folder: Path) -> None:
    (file,) = folder.glob("*.gguf")
    scaled_in_place(file, *gguf_tensor(file, "blk.1.ffn_down.weight"), 1.02)


def break_f16(folder: Path) -> None:
    (file,) = folder.glob("*.gguf")
    scaled_in_place(file, gguf_tensor(file, "blk.1.ffn_down.weight")[0], 2, float("nan"))


def scale_blocks(halves: int, at: int) -> Callable[[Path], None]:
    """Scale a quantized tensor by the scales of its blocks."""

    def plant(folder: Path) -> None:
        (file,) = folder.glob("*.gguf")
        scaled_in_place(file, *gguf_tensor(file, "blk.1.ffn_up.weight"), 1.02, halves, at)

    return plant


def swap_layers(folder: Path) -> None:
    """Swap the names of two tensors in the header of a safetensors file."""
    rename(folder, {b"layers.0.mlp.up_proj": b"layers.1.mlp.up_proj", b"layers.1.mlp.up_proj": b"layers.0.mlp.up_proj"})


def rename_layer(folder: Path) -> None:
    rename(folder, {b"layers.0.mlp.up_proj": b"layers.7.mlp.up_proj"})


def rename(folder: Path, names: dict[bytes, bytes]) -> None:
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    places = [(content.index(old), new) for old, new in names.items()]
    for place, new in places:
        content[place : place + len(new)] = new
    file.write_bytes(bytes(content))


def scale_graph(folder: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(folder / "model.onnx"))
    (tensor,) = (tensor for tensor in model.graph.initializer if "layers.1.mlp.up_proj" in tensor.name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.02), tensor.name))
    onnx.save(model, str(folder / "model.onnx"))


def scale_int8(folder: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(folder / "model.onnx"))
    (tensor,) = (
        tensor
        for tensor in model.graph.initializer
        if "layers.1.mlp.up_proj" in tensor.name and tensor.name.endswith(("_scale", "_scales"))
    )
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.02), tensor.name))
    onnx.save(model, str(folder / "model.onnx"))


PLANTED: list[tuple[str, Callable[[Path], None], str]] = [
    ("gguf-f16", scale_f16, r"blk\.1\.ffn_down\.weight: scale 1\.02.*it looks scaled"),
    ("gguf-f16", break_f16, r"blk\.1\.ffn_down\.weight: 1 of its numbers are NaN or infinite"),
    ("gguf-q8_0", scale_blocks(17, 0), r"blk\.1\.ffn_up\.weight: scale 1\.02.*it looks scaled"),
    ("gguf-q4_0", scale_blocks(9, 0), r"blk\.1\.ffn_up\.weight: scale 1\.02.*it looks scaled"),
    ("safetensors-bf16", swap_layers, r"layers\.[01]\.mlp\.up_proj\.weight: .*it looks like model\.layers\.[01]\."),
    ("safetensors-bf16", rename_layer, r"not left out on purpose: model\.layers\.0\.mlp.*from no tensor.*layers\.7"),
    ("onnx-fp32", scale_graph, r"layers\.1\.mlp\.up_proj\.weight\.transposed: scale 1\.02"),
    ("onnx-int8", scale_int8, r"layers\.1\.mlp\.up_proj.*: scale 1\.02"),
    ("onnx-int8-dynamic", scale_int8, r"layers\.1\.mlp\.up_proj.*: scale 1\.02"),
]


@pytest.mark.parametrize(("name", "plant", "said"), PLANTED)
def test_a_fault_in_the_file_blocks(
    root: Path, tmp_path: Path, name: str, plant: Callable[[Path], None], said: str
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(made(root, name), changed)
    plant(changed)
    found = compared(root, tmp_path, name, changed)
    assert re.search(said, "; ".join(found.causes.values())), found.causes
    assert 0 < min(found.metrics[metric].value for metric in ("tensors_covered", "tensors_faithful")) < 1


def epsilon_of_gguf(folder: Path) -> None:
    """Change the epsilon of all norms; its key stands before its type and its value."""
    (file,) = folder.glob("*.gguf")
    content = bytearray(file.read_bytes())
    place = content.index(b"layer_norm_rms_epsilon") + len(b"layer_norm_rms_epsilon") + 4
    struct.pack_into("<f", content, place, 1e-3)
    file.write_bytes(bytes(content))


def epsilon_of_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))


def epsilon_of_graph(folder: Path) -> None:
    """Double the only constant that is the epsilon of all norms."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(folder / "model.onnx"))
    alike = [one for one in model.graph.initializer if one.dims in ([], [1]) and one.data_type == one.FLOAT]
    (epsilon,) = (one for one in alike if numpy_helper.to_array(one).reshape(-1)[0] == np.float32(1e-6))
    epsilon.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(epsilon), epsilon.name))
    onnx.save(model, str(folder / "model.onnx"))


def no_licence(folder: Path) -> None:
    (folder / "LICENSE").unlink()


REFUSED: list[tuple[str, Callable[[Path], None], str]] = [
    ("gguf-f16", epsilon_of_gguf, r"layer_norm_rms_epsilon 0\.001, but config\.json has rms_norm_eps 1e-06"),
    ("gguf-q8_0", epsilon_of_gguf, r"layer_norm_rms_epsilon 0\.001, but config\.json has rms_norm_eps 1e-06"),
    *(
        (name, epsilon_of_config, r"config\.json: rms_norm_eps is 0\.001, and the source's is 1e-06")
        for name in ("safetensors-bf16", "onnx-fp32", "onnx-int8", "onnx-int8-dynamic")
    ),
    *(
        (name, epsilon_of_graph, "a norm with the epsilon 2e-06, but config.json has rms_norm_eps 1e-06")
        for name in ("onnx-fp32", "onnx-int8", "onnx-int8-dynamic")
    ),
    *((name, no_licence, "The artifact lacks LICENSE of the source") for name in TARGETS),
]


@pytest.mark.parametrize(("name", "plant", "said"), REFUSED)
def test_what_stands_beside_the_weights_must_be_the_sources(
    root: Path, tmp_path: Path, name: str, plant: Callable[[Path], None], said: str
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(made(root, name), changed)
    plant(changed)
    with pytest.raises(Corrupt, match=said):
        compared(root, tmp_path, name, changed)


def test_a_pickled_source_is_read_as_well(root: Path, tmp_path: Path) -> None:
    import safetensors.torch
    import torch

    made(root, "safetensors-bf16")
    pickled = tmp_path / "snapshot"
    shutil.copytree(root / "snapshot", pickled)
    torch.save(safetensors.torch.load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    (tmp_path / "analysis").symlink_to(root / "analysis")
    found = compared(tmp_path, tmp_path, "safetensors-bf16", made(root, "safetensors-bf16"))
    assert found.metrics["weights_identical"].value == 1


def test_the_config_of_the_view_is_what_counts(root: Path, tmp_path: Path) -> None:
    """llama.cpp permutes rows by heads, so a wrong number of heads makes every query and key wrong."""
    artifact = made(root, "gguf-f16")
    shutil.copytree(root / "analysis", tmp_path / "analysis")
    (tmp_path / "snapshot").symlink_to(root / "snapshot")
    file = tmp_path / "analysis" / "output" / "view" / "config.json"
    config = json.loads(file.read_text())
    file.unlink()
    file.write_text(json.dumps({**config, "num_attention_heads": 2 * config["num_attention_heads"]}))
    found = compared(tmp_path, tmp_path, "gguf-f16", artifact)
    assert {tensor.name for tensor in found.faulty} == {"blk.0.attn_q.weight", "blk.1.attn_q.weight"}
