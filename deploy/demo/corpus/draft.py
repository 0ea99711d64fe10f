"""A document while it is written: draws its sentences, and notes what it drew."""

from collections.abc import Iterable, Mapping
from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.facts import Fact
from deploy.demo.corpus.phrasings import ANSWER, bank, fill
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.world import world

# slot -> the word list it is drawn from where the caller does not fill it
FREE = {
    "time": "times", "day": "days", "mood": "moods", "mood2": "moods", "look": "looks", "sky": "skies", "thing": "things",
    "colour": "colours", "pet": "pets", "food": "foods", "job": "jobs", "goods": "goods", "name": "names",
    "who": "people",
}  # fmt: skip


class Draft:
    """The parts of one document, drawn with `rng` from the phrasings that `split` owns."""

    def __init__(self, rng: Random, split: Split) -> None:
        self.rng, self.split = rng, split
        self._parts: list[str] = []
        self._phrasings: set[tuple[str, str]] = set()
        self._facts: set[tuple[str, ...]] = set()
        self._question: tuple[str, str, tuple[str, ...]] | None = None

    def choose(self, path: str, fit: Iterable[str] | None = None) -> str:
        """Draw a template of the bank at `path` (or of `fit`, a part of it), a fresh one while there is one, and note it."""
        templates = tuple(fit) if fit is not None else bank(path, self.split)
        fresh = [t for t in templates if (path, t) not in self._phrasings]
        template = self.rng.choice(fresh or templates)
        self._phrasings.add((path, template))
        return template

    def fill(self, template: str, slots: Mapping[str, str]) -> str:
        """Fill a template; slots that are not given are drawn from the world's words."""
        words = world().words
        free = {slot: self.rng.choice(words[name]) for slot, name in FREE.items()}
        return fill(template, free | dict(slots))

    def state(self, *facts: Fact) -> None:
        """Note that the text states these facts."""
        self._facts |= {fact.key for fact in facts}

    def say(self, path: str, **slots: str) -> str:
        """Draw a sentence and fill it."""
        return self.fill(self.choose(path), slots)

    def add(self, text: str) -> None:
        """Append text as it is; the caller gives the white space."""
        self._parts.append(text)

    def ask(
        self, template: str, slots: Mapping[str, str], value: str, choices: Iterable[str], end: str = ""
    ) -> None:
        """Append a question, its answer and `end`; the document's last question is the one its record asks.

        The space before an answer belongs to the answer, as in every byte-level vocabulary; white space after it does not.
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
