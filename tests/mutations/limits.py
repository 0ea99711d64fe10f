"""The survivors that are known, with the reason for each, and what a run finds beside them.

[[limit]]
source = "granite"      patterns of a row's source, place and mutant
place = "gguf-*"
mutant = "*: LICENSE*"
why = "..."             what is not seen, and why; a line of docs/known-limits.md
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.mutations.row import Row

FILE = Path(__file__).with_name("known_limits.toml")

BAD = ("survived", "crashed")


@dataclass(frozen=True)
class Limit:
    """Mutants of which it is known that they survive."""

    source: str
    place: str
    mutant: str
    why: str

    def matches(self, row: Row) -> bool:
        """Return whether a row is of such a mutant."""
        # The mutant's text has brackets, which are no pattern.
        fields = ((row.source, self.source), (row.place, self.place), (row.mutant, self.mutant))
        return all(fnmatchcase(value, pattern) for value, pattern in fields)


def known_limits() -> list[Limit]:
    """Return the limits of the file."""
    return [Limit(**row) for row in tomllib.loads(FILE.read_text(encoding="utf-8"))["limit"]]


def unexpected(rows: Sequence[Row], limits: Sequence[Limit]) -> list[Row]:
    """Return the rows that survived, or crashed, and that no limit knows."""
    return [row for row in rows if row.outcome in BAD and not any(limit.matches(row) for limit in limits)]


def outdated(rows: Sequence[Row], limits: Sequence[Limit]) -> list[Limit]:
    """Return the limits of which mutants were judged, and none survived."""
    judged = {limit: [row for row in rows if limit.matches(row)] for limit in limits}
    return [limit for limit, found in judged.items() if found and not any(row.outcome in BAD for row in found)]
