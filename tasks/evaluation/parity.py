"""Checks whether an artifact's own tokenizer and chat template give the same results as the source's."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from jinja2 import TemplateError

from tasks.checkpoint.normalization import SPACE_MARK
from tasks.checkpoint.parity_texts import Kind, kind_of
from tasks.engines.runner import Runner
from tasks.errors import HallmarkError
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import ChatCase, Chats, ParityCase, ParityTexts

SHOWN = 3
"""Mismatches that are shown in full. The first few show the kind of fault; all of them would fill the report."""

NAMED = 8
"""Mismatches whose names are listed."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[ /.-](?:\d{1,2}|[A-Za-z]{3,9})[ /.,-]+\d{4}|[A-Za-z]{3,9} \d{1,2},? \d{4}")


@dataclass(frozen=True)
class Cut:
    """How an artifact cuts one parity text.

    same: whether its ids are the source's. normalized: whether they are if the text is normalized first.
    ambiguous: whether the text has a character that the source's tokenizer takes for a space.
    """

    case: ParityCase
    ids: tuple[int, ...]
    same: bool
    normalized: bool
    ambiguous: bool


def cut_texts(runner: Runner, texts: ParityTexts) -> list[Cut]:
    """Cut every text once: a large vocabulary has thousands of them.

    A tokenizer that leaves the NFC normalization of the source out cuts the normalized text as the source cuts either.
    """
    return [_cut(runner, case, texts.space_mark and SPACE_MARK in case.text) for case in texts.cases]


def _cut(runner: Runner, case: ParityCase, ambiguous: bool) -> Cut:
    ids = tuple(runner.tokenize(case.text))
    if ids == case.token_ids:
        return Cut(case, ids, same=True, normalized=True, ambiguous=ambiguous)
    composed = unicodedata.normalize("NFC", case.text)
    agrees = composed != case.text and tuple(runner.tokenize(composed)) == case.token_ids
    return Cut(case, ids, same=False, normalized=agrees, ambiguous=ambiguous)


def tokenizer_parity(cuts: Sequence[Cut]) -> tuple[Measurement, list[str]]:
    """Return the share of texts cut into the very same ids, and sentences on the other texts: kinds, and first ones.

    Mismatches that a missing normalization explains come last: another note reports them all.
    """
    differing = sorted((cut for cut in cuts if not cut.same), key=lambda cut: cut.normalized)
    notes = [_kinds_note(cuts, differing), *map(_tokenizer_note, differing[:SHOWN])] if differing else []
    return Measurement(value=(len(cuts) - len(differing)) / len(cuts), observations=len(cuts)), notes


def normalized_tokenizer_parity(cuts: Sequence[Cut]) -> tuple[Measurement, list[str]]:
    """Return the share of texts cut into the same ids as they are, or in Unicode's form NFC, and notes.

    Ambiguous texts are left out: whoever writes U+2581 for such a tokenizer writes a space.
    """
    notes = []
    counted = [cut for cut in cuts if not cut.ambiguous]
    if left_out := sum(cut.ambiguous and not cut.same for cut in cuts):
        notes.append(
            f"Tokenizer: {left_out} texts with the character U+2581, which is a space to the source's tokenizer, are "
            "tokenized differently; tokenizer_parity_nfc leaves such texts out."
        )
    count, agreeing = len(counted), sum(cut.normalized for cut in counted)
    if normalized := agreeing - sum(cut.same for cut in counted):
        notes.append(
            f"Tokenizer: the source normalizes texts to Unicode's form NFC, and the artifact does not; {normalized} of "
            f"{count} texts agree only if they are normalized first, so normalize what you send to it."
        )
    return Measurement(value=agreeing / count, observations=count), notes


def chat_template_parity(runner: Runner, chats: Chats) -> tuple[Measurement, list[str]]:
    """Return the share of chats rendered to the very same text, and sentences on the first mismatches.

    A template that the artifact lacks, or that its engine cannot render, agrees on no chat: serving would fail too.
    """
    notes: list[str] = []
    differing = 0
    for case in chats.cases:
        try:
            text = runner.render_chat(case.messages, case.add_generation_prompt)
        except (HallmarkError, TemplateError) as error:
            text, reason = None, f"rendering failed ({error})"
        else:
            reason = "it carries no template"
        if text is None or _undated(text, chats.dated) != _undated(case.text, chats.dated):
            differing += 1
            if len(notes) < SHOWN:
                notes.append(_chat_note(case, text, reason))
    count = len(chats.cases)
    return Measurement(value=(count - differing) / count, observations=count), notes


def _undated(text: str, dated: bool) -> str:
    """A template that writes today's date renders differently on another day, which is no fault."""
    return _DATE.sub("<date>", text) if dated else text


def _kinds_note(cuts: Sequence[Cut], differing: Sequence[Cut]) -> str:
    """Return how many texts of each kind differ, of how many, and the names of the first ones."""
    of_kind, wrong = (Counter(kind_of(cut.case.name, cut.case.text) for cut in some) for some in (cuts, differing))
    kinds = "; ".join(f"{kind}: {wrong[kind]:,} of {of_kind[kind]:,}" for kind in get_args(Kind) if of_kind[kind])
    names = ", ".join(repr(cut.case.name) for cut in differing[:NAMED])
    more = " and others" if len(differing) > NAMED else ""
    count = f"{len(differing):,} of {len(cuts):,} texts"
    return f"Tokenizer: {count} are tokenized differently. {kinds}. They are {names}{more}."


def _tokenizer_note(cut: Cut) -> str:
    case, place = cut.case, _first_difference(cut.case.token_ids, cut.ids)
    here, there = list(cut.ids[place : place + 4]), list(case.token_ids[place : place + 4])
    return (
        f"Tokenizer, text {case.name!r} ({case.text[:60]!a}): from token {place} on it gives {here}, "
        f"the source's {there}."
    )


def _chat_note(case: ChatCase, text: str | None, reason: str) -> str:
    if text is None:
        return f"Chat template, chat {case.name!r}: nothing was rendered: {reason}."
    place = _first_difference(case.text, text)
    here, there = text[place : place + 30], case.text[place : place + 30]
    return f"Chat template, chat {case.name!r}: from character {place} on {here!a}, the source's {there!a}."


def _first_difference(left: str | tuple[int, ...], right: str | tuple[int, ...]) -> int:
    pairs = zip(left, right, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
