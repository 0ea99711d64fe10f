"""The table of a run: how many mutants of each place came to which end, and which gates block."""

from collections import Counter
from collections.abc import Sequence

from tests.mutations.row import Row

OUTCOMES = ("refused", "blocked", "released right", "no effect", "survived", "crashed")


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table in Markdown: a line for each source and place, and their sums."""
    lines = [f"| source | place | mutants | {' | '.join(OUTCOMES)} |", f"|---|---|{'---:|' * (len(OUTCOMES) + 1)}"]
    for source, place in dict.fromkeys((row.source, row.place) for row in rows):
        lines.append(_line(source, place, [row for row in rows if (row.source, row.place) == (source, place)]))
    return [*lines, _line("all", "", rows)]


def gates(rows: Sequence[Row]) -> list[str]:
    """Return how many mutants of artifacts each gate blocks, the most first; a mutant may fail several."""
    blocked = Counter(gate for row in rows if row.outcome == "blocked" for gate in set(row.detail.split(", ")))
    return [f"{count:5} {gate}" for gate, count in blocked.most_common()]


def _line(source: str, place: str, rows: Sequence[Row]) -> str:
    found = Counter[str](row.outcome for row in rows)
    return f"| {source} | {place} | {len(rows)} | {' | '.join(str(found[outcome]) for outcome in OUTCOMES)} |"
