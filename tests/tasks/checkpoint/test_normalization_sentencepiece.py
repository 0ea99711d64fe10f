"""A SentencePiece model names its normalization itself."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("sentencepiece")

from tasks.checkpoint.normalization import SPACES, read_normalization
from tests.fixtures import sentencepiece_bpe

PRECOMPILED = {"type": "Precompiled", "precompiled_charsmap": ""}


@pytest.mark.parametrize(("rule", "names"), [("identity", ()), ("nmt_nfkc", ("nmt_nfkc", SPACES))])
def test_a_model_alone(tmp_path: Path, rule: str, names: tuple[str, ...]) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bpe.train(normalization=rule))
    assert read_normalization(tmp_path) == names


@pytest.mark.parametrize(("rule", "name"), [("identity", "Precompiled"), ("nmt_nfkc", "nmt_nfkc")])
def test_beside_tokenizer_json_it_gives_the_name_of_its_rule_alone(tmp_path: Path, rule: str, name: str) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bpe.train(normalization=rule))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"normalizer": PRECOMPILED}))
    assert read_normalization(tmp_path) == (name,)
