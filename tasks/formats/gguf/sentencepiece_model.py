"""Spells a tokenizer.json of the SentencePiece kind as tokenizer.model, for sources that have no such file.

llama.cpp's converter takes the scores of such a tokenizer from tokenizer.model alone. Without the file it writes one
score for all tokens, and the engine then merges in another order. llama.cpp merges the pair whose text has the highest
score, and tokenizer.json the pair that its list names first, so a token's score is the negative place of its first
merge.

Source of the format: sentencepiece_model.proto of the library sentencepiece.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.checkpoint.normalization import read_normalization, without_changes
from tasks.checkpoint.parity_texts import WRITTEN, generated_texts
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Unsupported
from tasks.formats.gguf.normalization import ONLY_NFC, left_out
from tasks.formats.gguf.spelling import marks_spaces, puts_space_first, with_space_first

FILE = "tokenizer.model"

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Values of a piece's `type`."""

BYTES = {f"<0x{byte:02X}>": chr(byte) for byte in range(128)}
"""The pieces of bytes that are a character, and the character. In Gemma's tokenizer.json, the tab has its text in place
of the piece's."""

BPE = 2
"""The value of `model_type`."""

UNMERGED = -1e6
"""The score of a token that no merge makes: below all others, as the trainer of SentencePiece scores characters."""


def add_sentencepiece_model(model: Path) -> None:
    """Write tokenizer.model into a folder whose tokenizer.json is a BPE with byte fallback and that has no such file.

    Raises Unsupported where a tokenizer of this kind cuts a text in another way than tokenizer.json. A gate decides on
    texts that it cuts in another way only because it does not bring them into the form NFC, or because it puts a space
    before one that begins with a space.
    """
    content = Snapshot(model).json("tokenizer.json")
    if content is None or (model / FILE).exists() or not marks_spaces(content):
        return
    (model / FILE).write_bytes(spell_as_model(content))
    differing, count = _differing(model, content)
    if not differing:
        return
    names = read_normalization(model)
    plain = {**content, "normalizer": without_changes(content.get("normalizer"))}
    otherwise, _ = _differing(model, with_space_first(plain))
    if not otherwise and names in ((), ONLY_NFC):
        return
    why, differing = ("llama.cpp merges tokens by scores", otherwise) if otherwise else (left_out(names), differing)
    raise Unsupported(
        f"tokenizer.json: {why}, and tokenizes {len(differing)} of {count} texts differently (the first is "
        f"{reason(repr(differing[0]))}); leave the gguf targets out of the recipe for this model."
    )


def spell_as_model(content: Mapping[str, Any]) -> bytes:
    """Return the serialized model of a parsed tokenizer.json."""
    from sentencepiece import sentencepiece_model_pb2

    own = content["model"]
    added = {token["content"]: token for token in content.get("added_tokens") or ()}
    texts = {number: text for text, number in own["vocab"].items()} | {
        token["id"]: text for text, token in added.items()
    }
    pieces = {text: piece for piece, text in BYTES.items() if piece not in own["vocab"] and text not in added}
    places: dict[str, int] = {}
    for place, merge in enumerate(own["merges"]):
        places.setdefault(merge.replace(" ", "", 1) if isinstance(merge, str) else "".join(merge), place)
    unknown = own.get("unk_token")
    proto = sentencepiece_model_pb2.ModelProto()
    for number in range(max(texts) + 1):
        text = texts.get(number, f"<unused {number}>")
        text = pieces.get(text, text)
        piece = proto.pieces.add()
        piece.piece = text
        piece.score = -float(places[text]) if text in places else UNMERGED
        piece.type = _type(text, number in texts, unknown, added)
    proto.trainer_spec.model_type = BPE
    proto.trainer_spec.byte_fallback = True
    proto.trainer_spec.vocab_size = len(proto.pieces)
    proto.trainer_spec.unk_id = own["vocab"].get(unknown, 0)
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = puts_space_first(content)
    proto.normalizer_spec.remove_extra_whitespaces = False
    return bytes(proto.SerializeToString())


def _type(text: str, used: bool, unknown: str | None, added: Mapping[str, Any]) -> int:
    if not used:
        return UNUSED
    if text == unknown:
        return UNKNOWN
    if text in added:
        return CONTROL if added[text].get("special") else USER_DEFINED
    return BYTE if len(text) == 6 and text.startswith("<0x") and text.endswith(">") else NORMAL


def _differing(model: Path, content: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return the texts that a parsed tokenizer.json and FILE cut in two ways, and how many were compared.

    Texts with added tokens are left out: the library sentencepiece takes these for plain text.
    """
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer

    one = Tokenizer.from_str(json.dumps(content))
    one.no_truncation()
    try:
        other = SentencePieceProcessor(model_file=str(model / FILE))
    except (RuntimeError, OSError) as error:
        raise Unsupported(
            f"tokenizer.json: its tokens make no SentencePiece model, which llama.cpp needs ({reason(str(error))}); "
            "leave the gguf targets out of the recipe for this model."
        ) from error
    added = [token["content"] for token in content.get("added_tokens") or ()]
    texts = [text for text in (*WRITTEN.values(), *generated_texts().values()) if not any(t in text for t in added)]
    return [text for text in texts if one.encode(text, add_special_tokens=False).ids != other.encode(text)], len(texts)
