"""Spells a SentencePiece model as tokenizer.json, for a source that has the model alone.

Source of the format: sentencepiece_model.proto of the library sentencepiece. Whoever calls this compares both on texts
before the result is used.
"""

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.checkpoint.normalization import SPACE_MARK
from tasks.source.view.class_defaults import Space

UNIGRAM, BPE = 1, 2
"""Values of `model_type`."""

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
"""Values of a piece's `type`."""

TOKEN_FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")
"""The flags of an added token in tokenizer.json."""

SPACE_FIRST: Sequence[Mapping[str, Any]] = (
    {"type": "Metaspace", "replacement": " ", "prepend_scheme": "first", "split": False},
    {"type": "Metaspace", "replacement": SPACE_MARK, "prepend_scheme": "never", "split": False},
)
"""Steps that put a space before a text, and none behind its special tokens.

A Metaspace puts none before a text that begins with its own mark. The normalized text has SPACE_MARK for each space, so
the first step puts a space before every text, and the second one writes it as SPACE_MARK.
"""


def spell_as_json(path: Path, added: Mapping[str, Mapping[str, Any]], space: Space = "always") -> dict[str, Any] | None:
    """Return the content of a tokenizer.json, or None for a model that is neither Unigram nor BPE.

    added: the `id` and TOKEN_FLAGS of each token that the repository adds to the model's own or describes, by its text.
    space: where the space stands that the model puts before a text, if it puts one.
    """
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    kind = model.trainer_spec.model_type
    if kind not in (UNIGRAM, BPE):
        return None
    none = dict.fromkeys(TOKEN_FLAGS, False)
    isolated = {
        piece.piece for piece in model.pieces if piece.type == USER_DEFINED and piece.piece not in added and kind == BPE
    }
    tokens: dict[str, Mapping[str, Any]] = {
        piece.piece: {"id": number, **none, "special": piece.type != USER_DEFINED}
        for number, piece in enumerate(model.pieces)
        if piece.type in (UNKNOWN, CONTROL, USER_DEFINED) and piece.piece not in isolated
    }
    spec = model.normalizer_spec
    first = spec.add_dummy_prefix and space == "first"
    prefix = spec.add_dummy_prefix and space == "always"
    steps = [*(SPACE_FIRST if first else []), *([_isolated(isolated)] if isolated else [])]
    # The id of a piece is its place in the model.
    tokens |= {text: {**token, "id": tokens.get(text, token)["id"]} for text, token in added.items()}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"content": text, **token} for text, token in sorted(tokens.items(), key=lambda item: item[1]["id"])
        ],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(spec, prefix)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps} if steps else None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": _decoders(spec.add_dummy_prefix)},
        "model": {**_bpe(model), "ignore_merges": bool(isolated)} if kind == BPE else _unigram(model),
    }


def _bpe(model: Any) -> dict[str, Any]:
    """A pair is merged where its text is a piece; the piece with the highest score goes first."""
    vocabulary = {piece.piece: number for number, piece in enumerate(model.pieces)}
    scores = {piece.piece: piece.score for piece in model.pieces}
    # Only parts of these lengths are cut out: all parts of one long piece would take the square of its length.
    lengths = dict.fromkeys(sorted({len(text) for text in vocabulary}))
    merges = [
        (text, text[:place], text[place:])
        for text in vocabulary
        for place in lengths
        if len(text) - place in lengths and text[:place] in vocabulary and text[place:] in vocabulary
    ]
    merges.sort(key=lambda merge: (-scores[merge[0]], vocabulary[merge[0]]))
    return {
        "type": "BPE",
        "unk_token": model.trainer_spec.unk_piece,
        "fuse_unk": True,
        "byte_fallback": model.trainer_spec.byte_fallback,
        "vocab": vocabulary,
        "merges": [[left, right] for _, left, right in merges],
    }


def _unigram(model: Any) -> dict[str, Any]:
    return {
        "type": "Unigram",
        "unk_id": model.trainer_spec.unk_id,
        "byte_fallback": model.trainer_spec.byte_fallback,
        "vocab": [[piece.piece, piece.score] for piece in model.pieces],
    }


def _normalizers(spec: Any, prefix: bool) -> Sequence[Mapping[str, Any]]:
    steps: list[Mapping[str, Any]] = []
    if spec.precompiled_charsmap:
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if spec.remove_extra_whitespaces:
        # The step "Strip" would also drop line ends and tabs, which are no spaces to the library.
        steps.append({"type": "Replace", "pattern": {"Regex": r"\A +| +\z"}, "content": ""})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    if prefix:
        steps.append({"type": "Prepend", "prepend": SPACE_MARK})
    return [*steps, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}]


def _isolated(pieces: Collection[str]) -> Mapping[str, Any]:
    """Return the step that cuts out the pieces of a BPE that a user defined, the longest one at each place.

    They are looked for in the normalized text, where a space is SPACE_MARK, and nothing is put before the text behind
    them. Added tokens would be looked for in the text as it is, and each text between them would be normalized.
    """
    longest_first = sorted(pieces, key=lambda piece: (-len(piece), piece))
    return {
        "type": "Split",
        "pattern": {"Regex": "|".join(map(re.escape, longest_first))},
        "behavior": "Isolated",
        "invert": False,
    }


def _decoders(prefix: bool) -> Sequence[Mapping[str, Any]]:
    spaces = {"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "}
    first = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []
    return [spaces, {"type": "ByteFallback"}, {"type": "Fuse"}, *first]
