"""A row of the table of results."""

import json
from dataclasses import asdict, dataclass

from tests.mutations.judging import Outcome, Verdict
from tests.mutations.mutant import Mutant


@dataclass(frozen=True)
class Row:
    """What became of one mutant.

    source: the source's name. place: one of tests.mutations.places.PLACES.
    """

    source: str
    place: str
    mutant: str
    kind: str
    outcome: Outcome
    detail: str

    @classmethod
    def of(cls, source: str, place: str, mutant: Mutant, verdict: Verdict) -> "Row":
        """Return the row of a mutant."""
        return cls(source, place, str(mutant), mutant.kind, verdict.outcome, verdict.detail)

    def __str__(self) -> str:
        detail = self.detail.strip().splitlines()
        return f"{self.outcome:14} {self.source} {self.place} {self.mutant}" + (f": {detail[-1]}" if detail else "")

    def to_json(self) -> str:
        """Return the row as a line of JSON; `Row(**json.loads(line))` is its inverse."""
        return json.dumps(asdict(self))
