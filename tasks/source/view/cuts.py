"""Cuts the parity texts by the libraries of the tokenizer files, and compares two ways to cut them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.checkpoint.around import Ids, around
from tasks.checkpoint.reasons import REASON_CHARACTERS, reason
from tasks.errors import Corrupt, Refused
from tasks.source.checks.sandbox import Exceeded, Failed, ask

SCRIPT = Path(__file__).parent / "cut_texts.py"

FEW = 0.05
"""The part of the texts in which two forms of one tokenizer may differ.

The texts are edge cases. Of about 1,040, a model like Gemma's cuts one in another way by its tokenizer.json, for the
libraries merge a run of spaces in another order; models with the normalization nmt_nfkc differ in 8 to 47. Tokenizers
of unlike vocabularies differ in nearly all.
"""

RUN = re.compile(r"(\\x..|\\u.{4}|\\.|.)\1{9,}")
"""One character, as `repr` writes it, ten times or more."""


class NotLoaded(Exception):
    """Raised when a library does not load a tokenizer's file; the message is the library's own."""


@dataclass(frozen=True)
class Cuts:
    """How one tokenizer cuts texts.

    ids: the token ids of each text, by the text.
    opening, closing: what it puts before and after a text.
    pieces: the id of each token of its own vocabulary, without added ones, by its text.
    """

    ids: Mapping[str, Ids]
    opening: Ids
    closing: Ids
    pieces: Mapping[str, int]


@dataclass(frozen=True)
class Difference:
    """How many texts two tokenizers cut in two ways, of how many, and the first of them."""

    text: str
    count: int
    of: int

    @property
    def few(self) -> bool:
        """Whether two forms of one tokenizer may differ so much."""
        return self.count <= FEW * self.of

    def __str__(self) -> str:
        return f"{self.count} of {self.of} texts (the first is {quote(self.text)})"


def quote(text: str) -> str:
    """Return a text as `repr` writes it, with its spaces; long runs of one character are counted."""
    shown = RUN.sub(lambda run: f"[{len(run[0]) // len(run[1])} times '{run[1]}']", repr(text))
    return shown if len(shown) <= REASON_CHARACTERS else shown[:REASON_CHARACTERS] + "..."


def cut_by_file(path: Path, texts: Sequence[str]) -> Cuts:
    """Cut texts by the file's own library, in a sandbox.

    Raises NotLoaded where the library does not load the file, Refused where it exceeds its limits, and Corrupt where it
    fails on a text.
    """
    try:
        answer = ask(SCRIPT, {"path": str(path.absolute()), "texts": list(texts)})
    except Exceeded as error:
        raise Refused(
            f"{path.name} exceeds its limits of two minutes and 4 GB when it is loaded and tokenizes texts; "
            "do not use this repository."
        ) from error
    except Failed as error:
        raise Corrupt(f"{path.name} does not tokenize plain text ({error}); ask the publisher to fix it.") from error
    if "error" in answer:
        raise NotLoaded(reason(answer["error"]))
    opening, closing = around(answer["bare"], answer["opened"])
    ids = {text: tuple(found) for text, found in zip(texts, answer["ids"], strict=True)}
    return Cuts(ids, opening, closing, answer["pieces"])


def first_difference(one: Mapping[str, Ids], other: Mapping[str, Ids]) -> Difference | None:
    """Return where two tokenizers differ, over the texts that both have cut; None if they agree on all of them."""
    common = [text for text in one if text in other]
    differing = [text for text in common if one[text] != other[text]]
    return Difference(differing[0], len(differing), len(common)) if differing else None
