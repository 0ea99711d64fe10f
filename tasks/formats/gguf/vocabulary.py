"""Refuses tokenizers that llama.cpp never cuts as they cut, whatever its converter writes.

llama.cpp has two algorithms for the tokenizers of generative models, and the converter chooses between them:

- byte-level BPE, for a tokenizer.json whose pre-tokenizer makes bytes (see pretokenizer.py);
- merging by scores, for the files of SentencePiece. It is BPE, so it does not find the likeliest pieces of a Unigram
  model. It spells a character without a token of its own as tokens of bytes, and ends its process without them.

The converter also takes a piece's place in tokenizer.model for its id.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.checkpoint.companions import SENTENCEPIECE
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Unsupported
from tasks.formats.gguf.limits import KINDS
from tasks.formats.gguf.pretokenizer import is_byte_level
from tasks.formats.gguf.sentencepiece_model import FILE

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def check_vocabulary(model: Path) -> None:
    """Raise Unsupported, with the file and the reason, for a tokenizer of a kind that llama.cpp does not cut.

    model: the folder that the converter reads.
    """
    content = Snapshot(model).json("tokenizer.json")
    if content is not None and is_byte_level(content):
        return
    if (model / FILE).is_file():
        kind, tokens = _read_model(model / FILE)
        file = _name(model)
    elif content is not None:
        kind, tokens = _read_json(content)
        file = "tokenizer.json"
    else:
        return
    why = KINDS.get(kind)
    missing = next((token for token in BYTES if token not in tokens), None)
    if why is None and missing:
        why = f"it has no token {missing}, and llama.cpp spells characters that are no token by tokens of bytes"
    if why:
        raise Unsupported(f"{file}: {why}; leave the gguf targets out of the recipe for this model.")


def name_model(model: Path) -> None:
    """Give a SentencePiece model without tokenizer.json the one name that the converter reads."""
    found = next((model / name for name in SENTENCEPIECE if (model / name).is_file()), None)
    if found and found.name != FILE and not (model / "tokenizer.json").exists():
        (model / FILE).symlink_to(found.resolve())


def renumbered(model: Path, tokenizer: Any) -> str | None:
    """Return why the places of the pieces in tokenizer.model are not their ids, None if they are or there is no file.

    tokenizer: transformers' tokenizer of the folder `model`, whose ids are the source's.
    """
    if not (model / FILE).is_file():
        return None
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(model / FILE))
    vocabulary = tokenizer.get_vocab()
    for place in range(pieces.get_piece_size()):
        piece = pieces.id_to_piece(place)
        if vocabulary.get(piece, place) != place:
            named = f"{type(tokenizer).__name__} gives the token {reason(repr(piece))} the id {vocabulary[piece]}"
            return f"{_name(model)}: {named}, and llama.cpp's converter takes {place}, its place in the file"
    return None


def _name(model: Path) -> str:
    """Return the name of the SentencePiece model in the source."""
    return (model / FILE).resolve().name


def _read_json(content: Mapping[str, Any]) -> tuple[str, Collection[str]]:
    """Return the kind and the tokens of a parsed tokenizer.json."""
    own = content.get("model")
    model = own if isinstance(own, dict) else {}
    vocabulary = model.get("vocab")
    tokens = vocabulary if isinstance(vocabulary, dict) and model.get("byte_fallback") else {}
    return str(model.get("type")).lower(), tokens


def _read_model(path: Path) -> tuple[str, Collection[str]]:
    """Return the kind and the tokens of a SentencePiece model."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    kind = model.trainer_spec.ModelType.Name(model.trainer_spec.model_type)
    return kind.lower(), {piece.piece for piece in model.pieces}
