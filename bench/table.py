"""Renders the page's tables from the repetitions' files; nothing between its marks is written by hand."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from bench.goals import goals
from bench.results import Repetition, of_one_kind, read_results
from bench.rows import BY_HAND, Row, rows
from tasks.settings import REPOSITORY

BEGIN, END = "<!-- measured: written by `make bench` -->", "<!-- end of what was measured -->"
MEGABYTE = 1e6


def write_table(results: Path, page: Path) -> None:
    """Replace the text between the marks of `page`, and list all repetitions in README.md beside their files.

    Raises ValueError where the page has no marks.
    """
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page.name} lacks the marks between which the tables stand; put them back.")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    # As text: the recipe's own texts lie beside it only in the measured tree.
    targets = yaml.safe_load((REPOSITORY / "bench" / "recipes" / "bench.yaml").read_text(encoding="utf-8"))["targets"]
    found = of_one_kind(read_results(results))
    page.write_text(f"{before}{BEGIN}\n{render(found, rows(targets))}\n{END}{after}", encoding="utf-8")
    (results / "README.md").write_text(f"# Every repetition\n\n{_repetitions(found)}\n", encoding="utf-8")


def render(results: Sequence[Repetition], wanted: Sequence[Row]) -> str:
    """Return the tables of figures and of goals, and the machine."""
    return "\n\n".join([_figures(results, wanted), _goals(results), *_machine(results)])


def _figures(results: Sequence[Repetition], wanted: Sequence[Row]) -> str:
    lines = [
        "| | | CPU s | times the script's CPU | wall s | peak MB | read MB | written MB | from disk MB | measured |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lacking = []
    for row in wanted:
        for side in row.sides:
            if found := [one for one in results if (one.row, one.side) == (row.name, side)]:
                lines.append(f"| {row.title} | {side} | {_cells(found, row, results)} |")
            else:
                lacking.append(f"`{row.name}` ({side})")
    return "\n".join([*lines, *(["", f"Not measured: {', '.join(lacking)}."] if lacking else [])])


def _cells(found: Sequence[Repetition], row: Row, results: Sequence[Repetition]) -> str:
    def spread(figure: Callable[[Repetition], float], digits: int) -> str:
        values = sorted(figure(one) for one in found)
        middle = f"{statistics.median(values):.{digits}f}"
        return middle if len(values) == 1 else f"{middle} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"

    disturbed = sum(one.metered.disturbed for one in found)
    told = f"{len(found)} of {row.repetitions}" + (f", {disturbed} disturbed" if disturbed else "")
    cells = [
        spread(lambda one: one.cpu_seconds, 1),
        _ratio(found, row, results),
        spread(lambda one: one.wall_seconds, 0),
        spread(lambda one: one.metered.peak_memory_bytes / MEGABYTE, 0),
        spread(lambda one: one.metered.bytes_read / MEGABYTE, 0),
        spread(lambda one: one.metered.bytes_written / MEGABYTE, 0),
        spread(lambda one: one.metered.disk_bytes_read / MEGABYTE, 0),
        told,
    ]
    return " | ".join(cells)


def _ratio(found: Sequence[Repetition], row: Row, results: Sequence[Repetition]) -> str:
    """CPU seconds by the script's of the same repetition, so that a change of the machine's speed falls out."""
    name = "release" if row.name in ("naive", "again", "early") else row.name
    hands = [one for one in results if (one.row, one.side) == (name, BY_HAND)]
    pairs = [
        one.cpu_seconds / hand.cpu_seconds
        for one in found
        for hand in hands
        if hand.number == one.number and hand.conditions.comparable(one.conditions)
    ]
    if not pairs or (found[0].row, found[0].side) == (name, BY_HAND):
        return ""
    middle = f"{statistics.median(pairs):.2f}"
    return middle if len(pairs) == 1 else f"{middle} ({min(pairs):.2f} to {max(pairs):.2f})"


def _goals(results: Sequence[Repetition]) -> str:
    lines = ["| goal | measured | |", "|---|---|---|"]
    for goal in goals(results):
        judged = "" if goal.met is None else "met" if goal.met else "**missed**"
        verdict = judged if goal.found else "not measured"
        lines.append(f"| {goal.text} | {goal.found} | {verdict} |")
    return "\n".join(lines)


def _machine(results: Sequence[Repetition]) -> list[str]:
    if not results:
        return []
    last = max(results, key=lambda one: one.measured).conditions
    machine = f"{last.processor}, {last.cores} cores, {last.memory_bytes / 2**30:.0f} GiB of memory"
    return [f"Machine: {machine}. llama.cpp build {last.llama_cpp[:12]}."]


def _repetitions(results: Sequence[Repetition]) -> str:
    lines = [
        "| row | side | commit | code | when | load before | others' processors |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in sorted(results, key=lambda one: one.measured):
        when = f"{one.measured:%Y-%m-%d %H:%M}"
        code = f"{one.conditions.commit[:8]} | {one.conditions.code[:8]}"
        load = f"{one.metered.load_before:.1f} | {one.metered.others:.2f}"
        lines.append(f"| {one.row} | {one.side} {one.number} | {code} | {when} | {load} |")
    return "\n".join(lines)
