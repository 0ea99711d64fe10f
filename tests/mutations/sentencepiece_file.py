"""Mutants of tokenizer.model: a few pieces stand for all, and every field of the model's own settings is changed."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.mutations.mutant import Mutant, replace
from tests.mutations.values import changed

FILE = "tokenizer.model"

SETTINGS = {
    "normalizer_spec": ("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces"),
    "trainer_spec": ("model_type", "byte_fallback", "unk_id", "bos_id", "eos_id", "pad_id", "unk_piece", "bos_piece"),
}
"""Fields that decide how a text is cut, or which tokens are special; the others describe how the model was trained."""

NORMAL, USER_DEFINED = 1, 4
"""Values of a piece's `type`."""

Edit = Callable[[Any], None]


def sentencepiece_mutants(folder: Path) -> Iterator[Mutant]:
    """Yield the mutants of the file; none in a runtime that has no library for it and so does not read it."""
    if not (folder / FILE).exists() or find_spec("sentencepiece") is None:
        return
    pieces = _read(folder).pieces
    ordinary = [place for place, piece in enumerate(pieces) if piece.type == NORMAL]
    for place in (ordinary[0], ordinary[len(ordinary) // 2], ordinary[-2], ordinary[-1]):
        yield _mutant(f"pieces.{place}.piece", "changed", _set(place, "piece", changed(pieces[place].piece)))
        yield _mutant(f"pieces.{place}.score", "changed", _set(place, "score", changed(pieces[place].score)))
        yield _mutant(f"pieces.{place}.type", "changed", _set(place, "type", USER_DEFINED))
        yield _mutant(f"pieces.{place}", "exchanged with the first", _exchange(place, ordinary[0]))
    for place, piece in enumerate(pieces[:3]):
        yield _mutant(f"pieces.{place}.type", "changed", _set(place, "type", NORMAL))
        yield _mutant(f"pieces.{place}.piece", "changed", _set(place, "piece", changed(piece.piece)))
    yield _mutant("pieces", "one removed", lambda model: model.pieces.pop())
    for part, fields in SETTINGS.items():
        for field in fields:
            yield _mutant(f"{part}.{field}", "changed", _change(part, field))
    yield Mutant(FILE, "the file", "removed", FILE, lambda folder: (folder / FILE).unlink())


def _read(folder: Path) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((folder / FILE).read_bytes())
    return model


def _set(place: int, field: str, value: Any) -> Edit:
    return lambda model: setattr(model.pieces[place], field, value)


def _exchange(place: int, other: int) -> Edit:
    def edit(model: Any) -> None:
        one, two = model.pieces[place].piece, model.pieces[other].piece
        model.pieces[place].piece, model.pieces[other].piece = two, one

    return edit


def _change(part: str, field: str) -> Edit:
    return lambda model: setattr(getattr(model, part), field, changed(getattr(getattr(model, part), field)))


def _mutant(field: str, change: str, edit: Edit) -> Mutant:
    def apply(folder: Path) -> None:
        model = _read(folder)
        edit(model)
        replace(folder / FILE, model.SerializeToString())

    return Mutant(FILE, field, change, FILE, apply)
