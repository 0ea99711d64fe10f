"""A head that config.json ties to the embedding, and that is stored, is tied only if it is the embedding."""

import json
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from tasks.checkpoint.load import load_model
from tasks.checkpoint.snapshot import Snapshot
from tasks.source.analyze import analyze_snapshot
from tests.fixtures.checkpoints import HIDDEN, VOCABULARY, llama_tensors, make_checkpoint

ELEMENTS = sum(values.size for values in llama_tensors().values())
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def checkpoint(folder: Path, kind: str) -> Path:
    """A checkpoint whose configuration ties the head, and that stores one."""
    embedding = llama_tensors()[EMBEDDING]
    head = embedding.copy()
    if kind == "differs":
        head[-1, -1] += 1
    make_checkpoint(folder, tensors={HEAD: head})
    stored = load_file(folder / "model.safetensors")
    if kind == "longer":
        stored[HEAD] = stored[HEAD].float()
    if kind == "pickled":
        (folder / "model.safetensors").unlink()
        torch.save(stored, folder / "pytorch_model.bin")
    else:
        save_file(stored, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(("kind", "tied"), [("same", True), ("longer", True), ("pickled", True), ("differs", False)])
def test_the_analysis_agrees_with_the_model_that_transformers_loads(tmp_path: Path, kind: str, tied: bool) -> None:
    folder = checkpoint(tmp_path, kind)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    analysis = analyze_snapshot(Snapshot(folder))
    model = load_model(folder, torch.float32)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is tied
    assert analysis.tied_embeddings is tied
    assert analysis.parameters == model.num_parameters() == ELEMENTS + (0 if tied else VOCABULARY * HIDDEN)


def test_a_head_of_quantized_numbers_is_not_compared(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, tensors={HEAD: np.ones((VOCABULARY, HIDDEN), np.float32)})
    stored = load_file(folder / "model.safetensors")
    save_file({**stored, HEAD: stored[HEAD].to(torch.float8_e4m3fn)}, folder / "model.safetensors")
    assert analyze_snapshot(Snapshot(folder)).tied_embeddings
