"""Conversion end to end: from a checkpoint to F16, importance matrix and quantized files, by llama.cpp's own tools."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import MixtralConfig

from tasks.errors import Unsupported
from tasks.formats.gguf.header import read_header
from tests.fixtures.context import make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.tiny_checkpoint import LICENCE, SIZES, write_checkpoint
from tests.tasks.formats.gguf.conversions import SOURCE, Made, context_of, make, run

pytestmark = pytest.mark.runtime("torch")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def snapshot(root: Path) -> Path:
    return make(root / "snapshot", pre_tokenizer="qwen2")


@pytest.fixture(scope="module")
def f16(root: Path, snapshot: Path) -> Made:
    context = context_of(root / "f16", SOURCE, snapshot=snapshot)
    with shortcuts():
        return context.output, run("gguf-f16", context)


@pytest.fixture(scope="module")
def imatrix(root: Path, f16: Made) -> Made:
    (root / "calibration").mkdir()
    lines = [json.dumps({"id": str(n), "kind": "story", "text": f"The {n}th ship sails <s> " * 20}) for n in range(40)]
    (root / "calibration" / "text.jsonl").write_text("\n".join(lines))
    folders = {"gguf-f16": f16[0], "calibration": root / "calibration"}
    context = make_context(root / "imatrix", folders)
    return context.output, run("gguf-imatrix", context)


@pytest.fixture(autouse=True)
def quick_converter() -> Iterator[None]:
    """Run the converter in children of this process; test_f16.py runs it as the product does."""
    with shortcuts():
        yield


def test_the_importance_matrix_covers_every_matrix(imatrix: Made) -> None:
    folder, facts = imatrix
    assert (facts["matrices"], facts["records"], facts["unreached_experts"]) == (14, 40, 0)
    assert facts["chunks"] > 2
    assert [path.name for path in folder.iterdir()] == ["Tiny-Llama-imatrix.gguf"]


def test_quantized_with_the_importance_matrix(root: Path, f16: Made, imatrix: Made) -> None:
    folders = {"gguf-f16": f16[0], "gguf-imatrix": imatrix[0]}
    settings = {"chats_open": False, "chats_think": False, "chats_keep_thoughts": False}
    context = make_context(root / "q4_k_m", folders, {"gguf-f16": {**f16[1], **settings}})
    facts = run("gguf-q4_k_m", context)
    assert facts["tensor_types"] == {"f32": 5, "q4_k": 12, "q6_k": 3}
    assert facts["fallbacks"]["count"] == 0
    assert facts["imatrix"] is True
    assert facts["pre_tokenizer"] == f16[1]["pre_tokenizer"]
    assert {name: facts.get(name) for name in settings} == settings, "its lines for llama-server need them"
    metadata = read_header(context.output / "Tiny-Llama-Q4_K_M.gguf").metadata
    assert metadata["quantize.imatrix.file"] == "imatrix.gguf"
    assert (context.output / "LICENSE").read_text() == LICENCE
    assert context.versions["llama.cpp"].startswith("0.3.36")


def test_the_importance_matrix_changes_the_bytes(root: Path, f16: Made, imatrix: Made) -> None:
    data = []
    for number, options in enumerate(({}, {"imatrix": False})):
        folders = {"gguf-f16": f16[0], "gguf-imatrix": imatrix[0]}
        context = make_context(root / f"q2_k-{number}", folders, {"gguf-f16": f16[1]})
        run("gguf-q2_k", context, **options)
        header = read_header(context.output / "Tiny-Llama-Q2_K.gguf")
        tensor = next(tensor for tensor in header.tensors if tensor.name == "blk.0.ffn_up.weight")
        data.append(header.path.read_bytes()[tensor.start : tensor.start + tensor.bytes])
    assert data[0] != data[1]


def test_odd_rows_fall_back_and_are_reported(root: Path) -> None:
    make(root / "odd", hidden=192, intermediate=256)
    base = context_of(root / "odd-f16", SOURCE, snapshot=root / "odd")
    run("gguf-f16", base)
    facts = run("gguf-q4_k_m", make_context(root / "odd-q4", {"gguf-f16": base.output}), imatrix=False)
    assert facts["fallbacks"]["types"] == {"q5_0": 11, "q8_0": 2}
    assert facts["fallbacks"]["of"] == 15


def test_a_calibration_text_that_is_too_short_is_reported(root: Path, f16: Made, tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text('{"text": "short"}\n')
    with pytest.raises(Unsupported, match="fewer than 512 tokens"):
        run("gguf-imatrix", make_context(tmp_path / "task", {"gguf-f16": f16[0], "calibration": tmp_path}))


def test_experts_that_the_calibration_text_never_reached_are_told(root: Path, tmp_path: Path) -> None:
    """A real mixture of 32 experts, and a text of one token: most experts are never chosen."""
    config = MixtralConfig(
        **{**SIZES, "max_position_embeddings": 64},
        num_local_experts=32,
        num_experts_per_tok=1,
        tie_word_embeddings=True,
    )
    write_checkpoint(tmp_path / "snapshot", config, dtype="bfloat16", opens=True)
    base = context_of(tmp_path / "f16", SOURCE, snapshot=tmp_path / "snapshot")
    run("gguf-f16", base)
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "text.jsonl").write_text(json.dumps({"text": "a" * 600}))
    sums = make_context(tmp_path / "sums", {"gguf-f16": base.output, "calibration": tmp_path / "calibration"})
    facts = run("gguf-imatrix", sums)
    assert 0 < facts["unreached_experts"] < 2 * 3 * 32
    quantized = make_context(
        tmp_path / "q4_0", {"gguf-f16": base.output, "gguf-imatrix": sums.output}, {"gguf-imatrix": facts}
    )
    (said,) = run("gguf-q4_0", quantized)["caveats"]
    assert said.startswith(f"The calibration text never reached {facts['unreached_experts']} of the experts' matrices")
