"""A SentencePiece model spelled as tokenizer.json cuts and joins texts as the library of the model does."""

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

sentencepiece = pytest.importorskip("sentencepiece")

from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

from tasks.source.view.class_defaults import Space
from tasks.source.view.from_sentencepiece import TOKEN_FLAGS, spell_as_json
from tests.fixtures import sentencepiece_bpe

TEXTS = ("the cat sat", " leading", "runs   of  spaces", "Zażółć 🚀", "a\tb\n", "▁")
NONE = dict.fromkeys(TOKEN_FLAGS, False)


def spell(
    folder: Path, added: dict[str, dict[str, Any]] | None = None, space: Space = "always", **options: Any
) -> tuple[Any, Any]:
    """Return a trained model's tokenizer in the library of tokenizer.json, and in its own."""
    path = folder / "tokenizer.model"
    path.write_bytes(sentencepiece_bpe.train(**options))
    made = spell_as_json(path, added or {}, space)
    return Tokenizer.from_str(json.dumps(made)), sentencepiece.SentencePieceProcessor(model_file=str(path))


@pytest.mark.parametrize(("dummy_prefix", "space"), [(True, "always"), (True, "first"), (False, "first")])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_both_cut_and_join_alike(tmp_path: Path, kind: str, dummy_prefix: bool, space: Space) -> None:
    made, own = spell(tmp_path, space=space, kind=kind, dummy_prefix=dummy_prefix)
    # Letters in an order that the model has not seen, so that the order of the merges decides.
    chance = random.Random(0)
    mixed = ["".join(chance.choices("theca sonmdgiru", k=16)) for _ in range(100)]
    for text in (*TEXTS, *mixed):
        ids = own.encode(text)
        assert made.encode(text, add_special_tokens=False).ids == ids, text
        assert made.decode(ids) == own.decode(ids), text


def test_a_long_piece_takes_little_memory(tmp_path: Path) -> None:
    """All of its parts would take 400 MB."""
    path = tmp_path / "tokenizer.model"
    path.write_bytes(sentencepiece_bpe.train(kind="bpe"))
    model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    model.pieces.add(piece="the" * 7000, score=-1.0)
    path.write_bytes(model.SerializeToString())
    tracemalloc.start()
    made = spell_as_json(path, {})
    assert made and "the" * 7000 in made["model"]["vocab"]
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.mark.parametrize("space", ["always", "first"])
def test_pieces_that_a_user_defined_are_cut_out(tmp_path: Path, space: Space) -> None:
    """Gemma's model has runs of spaces of this type, and tags."""
    made, own = spell(tmp_path, space=space, user_defined=("▁▁", "▁▁▁", "<b>", "at|", "</s"))
    ids = [own.piece_to_id(piece) for piece in ("▁▁", "<b>")]
    assert all(number in own.encode("a  cat <b>sat") for number in ids)
    for text in (*TEXTS, "<b>the  cat</b> at|sat", "four    spaces", "end  ", "<b>", "  <b> the</s>"):
        ids = own.encode(text)
        if "</s>" not in text:
            assert made.encode(text, add_special_tokens=False).ids == ids, text
        assert made.decode(ids) == own.decode(ids), text


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_surplus_spaces_go_and_line_ends_and_tabs_stay(tmp_path: Path, kind: str) -> None:
    """Tabs and line ends are no spaces to the library under the rule `nfkc`."""
    made, own = spell(tmp_path, kind=kind, normalization="nfkc")
    for text in ("\n\nthe cat\t", "  the   cat  ", "the\ncat\n", "ﬁne"):
        assert made.encode(text, add_special_tokens=False).ids == own.encode(text), text


@pytest.mark.parametrize(("space", "start"), [("always", "▁"), ("first", "")])
def test_a_space_behind_special_tokens_is_put_by_some_classes(tmp_path: Path, space: Space, start: str) -> None:
    made, _ = spell(tmp_path, space=space)
    assert "".join(made.encode("</s>ab", add_special_tokens=False).tokens) == f"</s>{start}ab"
    assert "".join(made.encode("a</s>b", add_special_tokens=False).tokens) == f"▁a</s>{start}b"


def test_a_model_of_words_is_not_spelled(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(sentencepiece_bpe.train(kind="word", byte_fallback=False))
    assert spell_as_json(path, {}) is None


def test_special_pieces_and_added_tokens_are_parsed(tmp_path: Path) -> None:
    added = {
        "<turn>": {"id": 320, **NONE, "special": True},
        "</s>": {"id": 999, **NONE, "special": True, "lstrip": True},
    }
    made, own = spell(tmp_path, added)
    assert own.get_piece_size() == 320
    assert made.encode("the </s><turn>", add_special_tokens=False).ids[-2:] == [2, 320]
    spelled = spell_as_json(tmp_path / "tokenizer.model", added)
    assert spelled is not None
    tokens = {token["content"]: token for token in spelled["added_tokens"]}
    # The id of a piece is its place in the model, whatever a file beside it says; its flags are taken.
    assert tokens["</s>"] == {"id": 2, "content": "</s>", **NONE, "special": True, "lstrip": True}
    assert [token["id"] for token in tokens.values()] == sorted(token["id"] for token in tokens.values())
