"""A head of its own that config.json ties to the embedding is untied in the view, so that every server reads it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from tasks.checkpoint.load import load_model
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.view import open_view
from tasks.source.analyze import analyze
from tasks.source.parameters import AnalyzeParameters
from tasks.source.view.ties import untie_own_head
from tests.fixtures.checkpoints import HIDDEN, VOCABULARY, llama_tensors, make_checkpoint
from tests.fixtures.context import make_context
from tests.tasks.source.view.sources import read

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
OTHER = np.full((VOCABULARY, HIDDEN), 0.5, np.float32)


def settle(folder: Path, head: Any, **config: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    make_checkpoint(folder, config=config, tensors={} if head is None else {HEAD: head})
    snapshot = Snapshot(folder)
    return untie_own_head(snapshot, snapshot.json("config.json") or {})


def test_another_matrix_is_not_tied(tmp_path: Path) -> None:
    config, (note,) = settle(tmp_path, OTHER)
    assert config == {**read(tmp_path / "config.json"), "tie_word_embeddings": False}
    assert note == (
        "config.json: tie_word_embeddings ties the output head to the embedding, but the weights have another matrix "
        "as 'lm_head.weight'; the release says tie_word_embeddings: false, so that every server reads this head."
    )


def test_a_tie_is_undone_wherever_it_is(tmp_path: Path) -> None:
    inner = {"text_config": {"tie_word_embeddings": True, "hidden_size": HIDDEN}}
    config, (note,) = settle(tmp_path, OTHER, tie_word_embeddings=None, **inner)
    # Llama ties them only if config.json says so.
    assert config["tie_word_embeddings"] is None
    assert config["text_config"] == {"tie_word_embeddings": False, "hidden_size": HIDDEN}
    assert note.startswith("config.json: text_config.tie_word_embeddings ties")


@pytest.mark.parametrize(("model_type", "tied"), [("gemma", False), ("llama", None), ("novel", None)])
def test_the_default_of_a_family_is_a_tie(tmp_path: Path, model_type: str, tied: bool | None) -> None:
    config, notes = settle(tmp_path, OTHER, model_type=model_type, tie_word_embeddings=None)
    assert config["tie_word_embeddings"] is tied
    assert len(notes) == (tied is False)


@pytest.mark.parametrize("head", [llama_tensors()[EMBEDDING], None])
def test_the_same_matrix_stays_tied(tmp_path: Path, head: Any) -> None:
    assert settle(tmp_path, head) == (read(tmp_path / "config.json"), ())


def test_a_family_that_ties_more_than_the_head_stays_as_it_is(tmp_path: Path) -> None:
    assert settle(tmp_path, OTHER, model_type="bert") == (read(tmp_path / "config.json"), ())


def test_the_head_of_a_layer_that_predicts_further_tokens_is_none(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, tensors={"model.layers.2.shared_head.head.weight": OTHER})
    snapshot = Snapshot(tmp_path)
    assert untie_own_head(snapshot, snapshot.json("config.json") or {})[1] == ()


def test_the_view_of_such_a_model_is_the_model(tmp_path: Path) -> None:
    source = make_checkpoint(tmp_path / "source", tensors={HEAD: OTHER})
    context = make_context(tmp_path / "work", {"snapshot": source})
    facts = analyze(AnalyzeParameters(), context)
    assert facts["tied_embeddings"] is False
    assert any("tie_word_embeddings: false" in note for note in facts["text"]["notes"])
    model = load_model(open_view(source, context.output, tmp_path / "opened"), torch.float32)
    assert model.config.tie_word_embeddings is False
    assert bool((model.lm_head.weight == 0.5).all())
    assert not bool((model.model.embed_tokens.weight == 0.5).all())
