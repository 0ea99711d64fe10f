"""A document that is being written: it draws its sentences and records what it drew."""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.phrasings import ANSWER, bank, fill
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.world import world

# slot -> the word list it is drawn from where the caller does not fill it
FREE = {
    "time": "times", "day": "days", "mood": "moods", "mood2": "moods", "look": "looks", "sky": "skies",
    "thing": "things", "colour": "colours", "pet": "pets", "food": "foods", "job": "jobs", "goods": "goods",
    "name": "names", "who": "people",
}  # fmt: skip


class Draft:
    """The parts of one document, drawn with `rng` from the phrasings that `split` owns."""

    def __init__(self, rng: Random, split: Split) -> None:
        self.rng, self.split = rng, split
        self._parts: list[str] = []
        self._phrasings: set[tuple[str, str]] = set()
        self._facts: set[tuple[str, ...]] = set()
        self._question: tuple[str, str, tuple[str, ...]] | None = None

    def choose(self, path: str, fits: Callable[[str], bool] = lambda _: True) -> str:
        """Draw a phrasing that `fits` from the bank at `path`, of a sentence not used yet if there is one; note it."""
        sentences = [[p for p in sentence if fits(p)] for sentence in bank(path, self.split)]
        sentences = [sentence for sentence in sentences if sentence]
        fresh = [sentence for sentence in sentences if not any((path, p) in self._phrasings for p in sentence)]
        phrasing = self.rng.choice(self.rng.choice(fresh or sentences))
        self._phrasings.add((path, phrasing))
        return phrasing

    def fill(self, template: str, slots: Mapping[str, str]) -> str:
        """Fill a template; slots that are not given are drawn from the world's words."""
        words = world().words
        free = {slot: self.rng.choice(words[name]) for slot, name in FREE.items()}
        return fill(template, free | dict(slots))

    def follow(self, about: str, subjects: list[str]) -> None:
        """Note that facts about these subjects follow each other in the text."""
        self._facts |= {(about, first, second) for first, second in pairwise(subjects)}

    def say(self, path: str, **slots: str) -> str:
        """Draw a sentence and fill it."""
        return self.fill(self.choose(path), slots)

    def add(self, text: str) -> None:
        """Append text as it is; the caller gives the white space."""
        self._parts.append(text)

    def ask(self, template: str, slots: Mapping[str, str], value: str, choices: Iterable[str], end: str = "") -> None:
        """Append a question, its answer and `end`; the document's last question is the one its record asks.

        The space before an answer belongs to the answer, as in every byte-level vocabulary; white space after it does
        not.
        """
        before, after = self.fill(template, slots).split(ANSWER)
        answer = f"{value}{after}{end}"
        if before.endswith(" "):
            before, answer = before[:-1], f" {answer}"
        self.add(before)
        self._question = ("".join(self._parts), answer.rstrip(), tuple(choices))
        self.add(answer)

    def finish(self, id: str, kind: str) -> Document:
        """Give the document."""
        prompt, answer, choices = self._question or ("", "", ())
        return Document(
            id, kind, "".join(self._parts), prompt, answer, choices, frozenset(self._phrasings), frozenset(self._facts)
        )
