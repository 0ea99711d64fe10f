"""Finds the tokens that are no ordinary text, such as those that end a turn."""

from pathlib import Path
from typing import Any

from tasks.checkpoint.companions import SENTENCEPIECE
from tasks.source.view.from_sentencepiece import CONTROL, USER_DEFINED


def read_marks(view: Path, tokenizer: Any) -> dict[str, int]:
    """Return the ids of added and special tokens, and of pieces that the maker of a SentencePiece model named, by text.

    transformers adds no tokens for such pieces of Gemma's or Yi's models, which hold the end of a turn there.

    tokenizer: transformers' tokenizer of the view.
    """
    vocabulary = tokenizer.get_vocab()
    added = (token.content for token in tokenizer.added_tokens_decoder.values())
    texts = [*added, *tokenizer.all_special_tokens, *_named_pieces(view)]
    return {text: vocabulary[text] for text in texts if text in vocabulary}


def _named_pieces(view: Path) -> list[str]:
    path = next((view / name for name in SENTENCEPIECE if (view / name).is_file()), None)
    if path is None:
        return []
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    # Single characters, such as digits, are defined so that they are never joined with others.
    return [piece.piece for piece in model.pieces if piece.type in (CONTROL, USER_DEFINED) and len(piece.piece) > 1]
