"""Tokenizers of the library sentencepiece: a sound one passes; a larger one than the embedding, and rubbish, do not."""

from pathlib import Path

import pytest

sentencepiece = pytest.importorskip("sentencepiece")

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Unsupported
from tasks.source.checks.tokenizer import check_tokenizer
from tasks.source.parameters import ScanParameters
from tests.fixtures.checkpoints import make_checkpoint

pytestmark = pytest.mark.runtime("torch")

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)
TEXT = "A hallmark is struck on metal after it has been assayed: 925 parts of a thousand are silver."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_checkpoint(tmp_path / "snapshot")
    (folder / "tokenizer.json").unlink()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT] * 4),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=48,
        model_type="bpe",
        minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()
    return folder


def test_a_sound_one(folder: Path) -> None:
    assert check_tokenizer(Snapshot(folder), PARAMETERS) == ("tokenizer.model loads: 48 tokens", True)


def test_a_vocabulary_of_tiktoken(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")
    with pytest.raises(Unsupported, match=r"^tokenizer\.model is a vocabulary of tiktoken, .* add tokenizer\.json\.$"):
        check_tokenizer(Snapshot(folder), PARAMETERS)


def test_more_tokens_than_rows(folder: Path) -> None:
    make_checkpoint(folder, config={"vocab_size": 40})
    (folder / "tokenizer.json").unlink()
    with pytest.raises(Corrupt, match=r"tokenizer.model: token '.+' has the id 40, but the model has 40 tokens"):
        check_tokenizer(Snapshot(folder), PARAMETERS)


@pytest.mark.parametrize("data", [b"", b"\x0a\xff\xff\xff\xff\x0f" + bytes(99), b"\x80\x04\x95.", b"\x0a" * 99_999])
def test_one_that_does_not_load(folder: Path, data: bytes) -> None:
    (folder / "tokenizer.model").write_bytes(data)
    with pytest.raises(Corrupt, match=r"tokenizer.model does not load \(.+\); ask the publisher"):
        check_tokenizer(Snapshot(folder), PARAMETERS)


def test_one_that_is_cut(folder: Path) -> None:
    path = folder / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Corrupt, match=r"tokenizer.model does not load"):
        check_tokenizer(Snapshot(folder), PARAMETERS)
