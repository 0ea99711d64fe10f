"""Checks whether an artifact's own tokenizer and chat template give the same results as the source's."""

import re
import unicodedata

from jinja2 import TemplateError

from tasks.engines.runner import Runner
from tasks.errors import HallmarkError
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import ChatCase, Chats, ParityCase, ParityTexts

SHOWN = 3
"""Mismatches that are shown in full. The first few show the kind of fault; all of them would fill the report."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[ /.-](?:\d{1,2}|[A-Za-z]{3,9})[ /.,-]+\d{4}|[A-Za-z]{3,9} \d{1,2},? \d{4}")


def tokenizer_parity(runner: Runner, texts: ParityTexts) -> tuple[Measurement, list[str]]:
    """Return the share of texts cut into the very same ids, and sentences on the first mismatches.

    Mismatches that a missing normalization explains come last: another note reports them all.
    """
    explained, others = list[str](), list[str]()
    for case in texts.cases:
        ids = list(runner.tokenize(case.text))
        if list(case.token_ids) != ids:
            (explained if _agrees_normalized(runner, case) else others).append(_tokenizer_note(case, ids))
    count = len(texts.cases)
    same = count - len(explained) - len(others)
    return Measurement(value=same / count, observations=count), [*others, *explained][:SHOWN]


def normalized_tokenizer_parity(runner: Runner, texts: ParityTexts) -> tuple[Measurement, list[str]]:
    """Return the share of texts cut into the same ids as they are, or in Unicode's form NFC; a note on the latter.

    A tokenizer that leaves the NFC normalization of the source out cuts the normalized text as the source cuts either.
    """
    differing = normalized = 0
    for case in texts.cases:
        if list(case.token_ids) == list(runner.tokenize(case.text)):
            continue
        if _agrees_normalized(runner, case):
            normalized += 1
        else:
            differing += 1
    count = len(texts.cases)
    note = (
        f"Tokenizer: the source normalizes texts to Unicode's form NFC, and the artifact does not; {normalized} of "
        f"{count} texts agree only if they are normalized first, so normalize what you send to it."
    )
    return Measurement(value=(count - differing) / count, observations=count), [note] if normalized else []


def _agrees_normalized(runner: Runner, case: ParityCase) -> bool:
    return list(case.token_ids) == list(runner.tokenize(unicodedata.normalize("NFC", case.text)))


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


def _tokenizer_note(case: ParityCase, ids: list[int]) -> str:
    place = _first_difference(case.token_ids, ids)
    here, there = ids[place : place + 4], list(case.token_ids[place : place + 4])
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


def _first_difference(left: str | tuple[int, ...], right: str | list[int]) -> int:
    pairs = zip(left, right, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
