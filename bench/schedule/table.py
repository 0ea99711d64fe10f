"""Renders what a release would take on 2 to 64 cores as a table, and replaces it in the page of this folder."""

from pathlib import Path

from bench.schedule.layout import as_declared, floor, half_the_host, laid_out, one_thread
from bench.schedule.work import Release

BEGIN, END = "<!-- schedule: written by `python -m bench.schedule` -->", "<!-- end of the schedule -->"
CORES = (2, 8, 16, 64)


def schedule_table(release: Release) -> str:
    """Return the seconds of a release laid out on several numbers of cores, and what no schedule could undercut."""
    lines = [
        "| cores | one thread a task | half of the host a wide task | as declared | no schedule is faster than |",
        "|---:|---:|---:|---:|---:|",
    ]
    for cores in CORES:
        times = [laid_out(release.tasks, cores, slots) for slots in (one_thread, half_the_host, as_declared)]
        best = floor(release.tasks, cores)
        cells = [*(f"{seconds:.0f} s ({seconds / best:.2f})" for seconds in times), f"{best:.0f} s"]
        lines.append(f"| {cores} | {' | '.join(cells)} |")
    return "\n".join(lines)


def replace_table(page: Path, release: Release) -> None:
    """Write the table between the marks of the page. Raises ValueError where the page has no marks."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page.name} lacks the marks between which the schedule stands; put them back.")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{schedule_table(release)}\n{END}{after}", encoding="utf-8")
