"""What a conversion knows to be otherwise in its artifact than in the source, in words short enough for a verdict.

A format gives these caveats as the fact `verdict_caveats` of an artifact. The fact `caveats` holds further sentences,
which only the report shows.
"""

from collections.abc import Iterable

from tasks.manifest import Manifest
from tasks.model import Model

FACT = "verdict_caveats"


class Caveat(Model):
    """One difference.

    text: a clause without a full stop, such as `llama.cpp leaves the NFC normalization out`.
    explains: the metric whose loss it explains; None if it explains none.
    only_if_whole: the metric that has the value 1 if nothing else explains the loss; None if that is not measured.
    """

    text: str
    explains: str | None = None
    only_if_whole: str | None = None

    @property
    def sentence(self) -> str:
        """The text as a sentence, for a list of notes."""
        return f"{self.text[:1].upper()}{self.text[1:]}."


def caveats_of(artifact: Manifest) -> tuple[Caveat, ...]:
    """Return the caveats among an artifact's facts."""
    return tuple(Caveat.model_validate(fact) for fact in artifact.facts.get(FACT, ()))


def as_facts(caveats: Iterable[Caveat]) -> dict[str, list[dict[str, str | None]]]:
    """Return the caveats as facts of an artifact: empty if there is none."""
    facts = [caveat.model_dump() for caveat in caveats]
    return {FACT: facts} if facts else {}
