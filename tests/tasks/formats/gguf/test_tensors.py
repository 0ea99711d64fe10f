"""What llama-quantize makes of random numbers is within the bands of its types, and 2 or 2.5 per cent are outside."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoint.arrays import Numbers
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import Corrupt
from tasks.formats.gguf.changes import AHEAD
from tasks.formats.gguf.grids import GRIDS, WITH_IMPORTANCE
from tasks.formats.gguf.header import read_header
from tasks.formats.gguf.quantizations import QUANTIZATIONS
from tasks.formats.gguf.target import IMATRIX
from tasks.formats.gguf.tensor_types import TENSOR_TYPES
from tasks.formats.gguf.tensors import ZEROS, mapped, read_importance, reader, stored_tensors
from tasks.formats.registry import parse_target
from tasks.formats.stored import Content, Floats, Grid, Source
from tasks.integrity.bands import Moments, Sums, allowed_error, allowed_scale, moments, scales
from tasks.integrity.compare import UNKNOWN, compare
from tasks.integrity.record import INTEGRITY_FILE, Integrity
from tasks.settings import REPOSITORY
from tests.fixtures.tiny_architectures import tiny
from tests.fixtures.tiny_checkpoint import write_checkpoint
from tests.matrix.make import compare_weights, convert
from tests.tasks.formats.analyses import analysis_with
from tests.tasks.formats.gguf.writer import write_gguf

pytestmark = pytest.mark.runtime("torch")

DEMO = REPOSITORY / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"
TYPES = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS")
NEED_IMPORTANCE = ("IQ3_XXS", "IQ3_M", "IQ2_M", "IQ2_XXS")
DISTRIBUTIONS = ("normal", "student")
"""Without and with heavy tails."""
QUERY = "model.layers.0.self_attn.q_proj.weight"
HEAD = "lm_head.weight"
DENSE = analysis_with()


def test_every_type_that_a_target_may_hold_has_a_grid() -> None:
    used = {name for quantization in QUANTIZATIONS.values() for name in quantization.types}
    assert used <= set(GRIDS) <= {kind.name for kind in TENSOR_TYPES.values()}
    assert set(WITH_IMPORTANCE) <= set(GRIDS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the demo model's F16 file and importance matrix, and of files with random numbers."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copytree(DEMO, folder / "snapshot")
    convert(folder, parse_target(IMATRIX), folder / IMATRIX)
    (base,) = (folder / "gguf-f16" / "output").glob("*.gguf")
    for number, name in enumerate(DISTRIBUTIONS):
        file = folder / f"{name}.gguf"
        shutil.copy(base, file)
        random = np.random.default_rng(number)
        draws = {
            "normal": lambda size: random.normal(0, 0.02, size),
            "student": lambda size: 0.02 * random.standard_t(5, size),
        }
        for tensor in read_header(file).tensors:
            if tensor.type.name == "f16":
                stored = np.memmap(file, "<f2", "r+", tensor.start, (tensor.elements,))
                stored[:] = draws[name](tensor.elements)
                stored.flush()
    return folder


def arrays(file: Path) -> dict[str, tuple[str, Floats]]:
    """Return the type and the numbers of each matrix of a file."""
    return {
        tensor.name: (
            tensor.type.name,
            reader(tensor, mapped(file, tensor))(0, tensor.elements // tensor.dimensions[0]),
        )
        for tensor in read_header(file).tensors
        if len(tensor.dimensions) > 1
    }


CASES = [
    *((kind, name, important) for kind in TYPES for name in DISTRIBUTIONS for important in (False, True)),
    *((kind, name, True) for kind in NEED_IMPORTANCE for name in DISTRIBUTIONS),
]


@pytest.mark.parametrize(("kind", "distribution", "important"), CASES)
def test_random_numbers_are_within_the_bands(
    root: Path, tmp_path: Path, kind: str, distribution: str, important: bool
) -> None:
    base, made = root / f"{distribution}.gguf", tmp_path / "made.gguf"
    (matrix,) = (root / IMATRIX / "output").glob("*.gguf")
    options = ["--imatrix", str(matrix)] if important else []
    tool = [str(llama_cpp().bin / "llama-quantize"), *options, str(base), str(made), kind, "1"]
    subprocess.run(tool, check=True, capture_output=True)
    importance = read_importance(root / IMATRIX / "output") if important else {}
    sources = arrays(base)
    for name, (stored, numbers) in arrays(made).items():
        weights = importance.get(name)
        grid = WITH_IMPORTANCE.get(stored, GRIDS[stored]) if weights is not None else GRIDS[stored]
        source = sources[name][1]
        rows = moments(source, numbers, grid, weights)
        total = rows.total()
        assert total.error <= allowed_error(total, grid, grid.slack), (name, stored)
        assert _far(total, grid) <= allowed_scale(total, grid, grid.shrink, grid.balance_band), (name, stored)
        assert (rows.error <= allowed_error(rows, grid, grid.row_slack)).all(), (name, stored)
        least = 1.025 if stored == "q2_k" and weights is None else 1.02
        for factor in (least, 1 / least):
            wrong = moments(source, numbers * np.float32(factor), grid, weights).total()
            assert _far(wrong, grid) > allowed_scale(wrong, grid, grid.shrink, grid.balance_band), (
                name,
                stored,
                factor,
            )


def _far(found: Moments, grid: Grid) -> Sums:
    return np.abs(scales(found, grid) - 1)


def described(folder: Path, architecture: str, heads: int) -> Content:
    """Return what a file with one matrix of queries stores, which the converter changes head by head."""
    metadata = {"general.architecture": architecture}
    write_gguf(folder / "model.gguf", metadata, {"blk.0.attn_q.weight": (16, 8)})
    source = Source({QUERY: Numbers("F32", np.ones((8, 16), np.float32))}, {"num_attention_heads": heads}, DENSE)
    return stored_tensors(folder, source, {})


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_that_do_not_fit_a_tensor_of_a_known_architecture_are_an_error(tmp_path: Path, heads: int) -> None:
    with pytest.raises(
        Corrupt, match=rf"^{QUERY} has the shape \[8, 16\], .* blk\.0\.attn_q\.weight .* config\.json\.$"
    ):
        described(tmp_path, "llama", heads)
    assert described(tmp_path, "llama", heads=2).tensors[0].origin


@pytest.mark.parametrize("heads", [0, 3])
def test_a_tensor_that_an_unknown_architecture_changes_is_not_compared(tmp_path: Path, heads: int) -> None:
    content = described(tmp_path, "olmo", heads)
    (tensor,) = content.tensors
    assert tensor.origin is not None and not tensor.origin.known
    source = Source({QUERY: Numbers("F32", np.ones((8, 16), np.float32))}, {}, DENSE)
    found = compare("gguf-f16", content, source, 1, lambda what, share: None)
    assert found.not_compared == {"blk.0.attn_q.weight": UNKNOWN} and not found.causes


@pytest.mark.parametrize("value", [0, 1])
def test_only_a_bias_of_zeros_may_be_left_out(tmp_path: Path, value: int) -> None:
    write_gguf(tmp_path / "tiny.gguf", {"general.architecture": "cohere2"}, {"blk.0.attn_q.weight": (16, 8)})
    bias = QUERY.replace("weight", "bias")
    arrays = {QUERY: np.ones((8, 16), np.float32), bias: np.full(512, value, np.float32)}
    source = Source({name: Numbers("F32", array) for name, array in arrays.items()}, {}, DENSE)
    content = stored_tensors(tmp_path, source, {})
    assert content.dropped == ({} if value else {bias: ZEROS})


@pytest.mark.parametrize(
    "name", ["mtp.fc.weight", "model.mtp_block.0.norm.weight", "model.connector.proj.weight", "image_newline"]
)
def test_parts_that_the_converter_leaves_out_have_a_reason(tmp_path: Path, name: str) -> None:
    write_gguf(tmp_path / "tiny.gguf", {"general.architecture": "llama"}, {"blk.0.attn_q.weight": (16, 8)})
    source = Source({name: Numbers("F32", np.ones((8, 16), np.float32))}, {}, DENSE)
    assert set(stored_tensors(tmp_path, source, {}).dropped) == {name}


@pytest.mark.parametrize("kept", [False, True])
def test_layers_for_further_tokens_may_be_left_out_whole(tmp_path: Path, kept: bool) -> None:
    norm, projection, own = (f"model.layers.{name}.weight" for name in ("2.enorm", "2.eh_proj", "1.enorm"))
    tensors = {name: Numbers("F32", np.ones((8, 16), np.float32)) for name in (norm, projection, own)}
    source = Source(tensors, {"num_nextn_predict_layers": 1}, analysis_with(layers=2))
    held = "blk.2.nextn.enorm.weight" if kept else "output_norm.weight"
    write_gguf(tmp_path / "tiny.gguf", {"general.architecture": "deepseek2"}, {held: (16, 8)})
    content = stored_tensors(tmp_path, source, {})
    assert content.dropped == ({} if kept else {norm: AHEAD, projection: AHEAD})
    found = compare("gguf-f16", content, source, 1, lambda what, share: None)
    assert found.lost == ((projection, own) if kept else (own,))


def test_a_deepseek_with_a_layer_for_further_tokens_is_whole(tmp_path: Path) -> None:
    """Such a layer has the tensors of a layer of the model, and some more."""
    config = tiny("deepseek_v3")
    config.num_hidden_layers = 3
    snapshot = write_checkpoint(tmp_path / "snapshot", config, dtype="bfloat16", opens=True)
    fields = json.loads((snapshot / "config.json").read_text())
    fields |= {"num_hidden_layers": 2, "num_nextn_predict_layers": 1}
    (snapshot / "config.json").write_text(json.dumps(fields))
    target = parse_target("gguf-f16")
    convert(tmp_path, target, tmp_path / "gguf-f16")
    compare_weights(tmp_path, target, tmp_path / "gguf-f16")
    found = Integrity.read_file(tmp_path / "gguf-f16" / INTEGRITY_FILE, "the comparison of weights")
    assert (found.causes, found.not_compared) == ({}, {})
    assert found.dropped and all(name.startswith("model.layers.2.") for name in found.dropped)


def test_only_a_file_of_a_known_architecture_is_refused_for_its_epsilon(tmp_path: Path) -> None:
    source = Source({}, {"rms_norm_eps": 1e-6}, DENSE)
    for architecture in ("plamo", "llama"):
        metadata = {
            "general.architecture": architecture,
            f"{architecture}.attention.layer_norm_rms_epsilon": 1e-3,
            "tokenizer.ggml.tokens": ["a", "b", "c"],
        }
        write_gguf(tmp_path / "tiny.gguf", metadata, {"token_embd.weight": (32, 3)})
        if architecture == "plamo":
            stored_tensors(tmp_path, source, {})
    with pytest.raises(Corrupt, match="layer_norm_rms_epsilon 0.001, but config.json has rms_norm_eps 1e-06"):
        stored_tensors(tmp_path, source, {})


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_of_a_tied_model_is_its_embedding_where_it_is_alone(tmp_path: Path, tied: bool) -> None:
    write_gguf(tmp_path / "tiny.gguf", {"general.architecture": "llama"}, {"token_embd.weight": (16, 8)})
    source = Source({HEAD: Numbers("F32", np.ones((8, 16), np.float32))}, {}, analysis_with(tied_embeddings=tied))
    (tensor,) = stored_tensors(tmp_path, source, {}).tensors
    parts = tensor.origin.parts if tensor.origin else ()
    assert [part.source for part in parts] == ([HEAD] if tied else [])
