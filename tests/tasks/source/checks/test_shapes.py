"""Each way in which a configuration may contradict the weights is named by its field."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.errors import Corrupt
from tasks.source.checks.shapes import check_shapes
from tasks.source.parameters import ScanParameters
from tasks.source.snapshot import Snapshot
from tests.fixtures.checkpoints import HIDDEN, VOCABULARY, make_checkpoint

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)


def check(folder: Path) -> tuple[str, bool]:
    return check_shapes(Snapshot(folder), PARAMETERS)


@pytest.mark.parametrize("tied", [True, False])
def test_what_fits(tmp_path: Path, tied: bool) -> None:
    assert check(make_checkpoint(tmp_path, tied=tied))[1] is True


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vocab_size": 300}, "vocab_size is 300, but model.embed_tokens.weight has 320 rows"),
        ({"vocab_size": "320"}, "vocab_size is '320', which is no whole number"),
        ({"hidden_size": 128}, "hidden_size is 128, but model.embed_tokens.weight has 64 columns"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3, but the weights have no layer 2"),
        ({"num_hidden_layers": 1}, "num_hidden_layers is 1, but the weights have a layer 1"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False, but the weights have no output head"),
        ({"eos_token_id": [1, 320]}, "eos_token_id is 320, but the vocabulary has 320 tokens"),
    ],
)
def test_what_does_not(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(Corrupt, match=message):
        check(make_checkpoint(tmp_path, config=config))


def test_layers_for_further_tokens_lie_behind_the_models_own(tmp_path: Path) -> None:
    extra = {"model.layers.2.mlp.up_proj.weight": np.ones((4, HIDDEN), np.float32)}
    folder = make_checkpoint(tmp_path, tensors=extra, config={"num_nextn_predict_layers": 1})
    assert check(folder)[1] is True
    with pytest.raises(Corrupt, match="a layer 2"):
        check(make_checkpoint(tmp_path, tensors=extra))


def test_layers_of_another_part_are_not_counted(tmp_path: Path) -> None:
    vision = {f"vision_model.encoder.layers.{n}.mlp.weight": np.ones((4, 4), np.float32) for n in range(9)}
    assert check(make_checkpoint(tmp_path, tensors=vision))[1] is True


def test_a_projected_embedding(tmp_path: Path) -> None:
    narrow = {"model.embed_tokens.weight": np.ones((VOCABULARY, 16), np.float32)}
    assert check(make_checkpoint(tmp_path, tensors=narrow, config={"word_embed_proj_dim": 16}))[1] is True


def test_families_that_name_it_otherwise_are_not_judged(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, config={"vocab_size": 1})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b"model.embed_tokens.weight", b"model.embeddings12.weight"))
    assert check(folder)[1] is False
