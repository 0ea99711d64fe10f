"""The release's table as text and as Markdown, with the same numbers as in the report.

A target has one line. If it has several proofs, its line has its outcome, and the line of each proof has the numbers.
A timing that was disturbed is marked, and a line below the table says what the mark means.
"""

from collections.abc import Iterator, Sequence

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import TIMED_METRICS
from tasks.gates.wording import say_value
from tasks.plan.shared_reasons import first_with
from tasks.release.record import Release, ReleasedProof, ReleasedTarget

COLUMNS = {
    "size_bytes": "MB",
    "bits_per_weight": "bits/weight",
    "perplexity": "perplexity",
    "kld_mean": "KLD mean",
    "kld_p99": "KLD p99",
    "top1_agreement": "top-1 %",
    "decode_tokens_per_second": "tokens/s",
}
HEADINGS = ("target", *COLUMNS.values(), "verdict")
WORDS = {
    "passed": "passed",
    "blocked": "BLOCKED",
    "failed": "FAILED",
    "unproven": "UNPROVEN",
    "skipped": "skipped",
}
UNMEASURED = "-"
DISTURBED = "~"
FOOTNOTE = (
    f"{DISTURBED} Other work on the host disturbed this timing. Undisturbed, the target is at least as fast. The next "
    "release measures it again."
)


def release_table(release: Release) -> str:
    """Return the table as plain text, numbers aligned right; ends in a newline."""
    rows = [HEADINGS, *_rows(release)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = []
    for row in rows:
        first, last = row[0].ljust(widths[0]), row[-1]
        numbers = (cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True))
        lines.append("  ".join((first, *numbers, last)).rstrip())
    return "\n".join([*lines, *_footnotes(release)]) + "\n"


def release_markdown(release: Release) -> str:
    """Return the table in Markdown."""
    rows = [HEADINGS, ("---", *("---:" for _ in COLUMNS), "---")]
    rows += _rows(release)
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join([*lines, *(line for note in _footnotes(release) for line in ("", note))]) + "\n"


def same_reason_above(targets: Sequence[ReleasedTarget]) -> dict[str, str]:
    """Return, for each target whose reason a target above it has with the same outcome, the name of that target.

    A target with several proofs has a line for each of them. A target that passed keeps its own line.
    """
    found: dict[str, str] = {}
    for outcome in WORDS.keys() - {"passed"}:
        alike = [target for target in targets if target.outcome == outcome and len(target.proofs) < 2]
        found |= first_with({target.target: target.reason for target in alike})
    return found


def numbers_line(target: ReleasedTarget) -> str:
    """Return one target's numbers in one line. MLflow's page of a version has no room for a table."""
    numbers = zip(COLUMNS.values(), _numbers(target), strict=True)
    return " · ".join(f"{heading} {number}" for heading, number in numbers)


def cell(metric: str, measured: Measurement | None, disturbed: str | None = None) -> str:
    """Return a number as the table shows it. disturbed: what disturbed the timings, or None."""
    if measured is None:
        return UNMEASURED
    return mark(metric, disturbed) + say_value(metric, measured.value, measured.standard_error)


def mark(metric: str, disturbed: str | None) -> str:
    """Return the mark of a timing that was disturbed; empty for other numbers."""
    return DISTURBED if disturbed and metric in TIMED_METRICS else ""


def verdict_line(target: ReleasedTarget, same_as: str | None = None) -> str:
    """Return the verdict in one line, such as `BLOCKED: KLD mean 0.059 ± 0.002 > 0.05`.

    same_as: the target above that has the same reason, if there is one.
    """
    reason = f"same reason as {same_as}" if same_as else " ".join(target.reason.split())
    version = f" (version {target.version})" if target.version else ""
    expected = ", as expected" if target.expect_blocked and target.outcome == "blocked" else ""
    return f"{WORDS[target.outcome]}{expected}: {reason}{version}"


def _rows(release: Release) -> Iterator[tuple[str, ...]]:
    same = same_reason_above(release.targets)
    for target in release.targets:
        several = target.proofs if len(target.proofs) > 1 else ()
        numbers = _numbers(None if several else target)
        yield target.target, *numbers, verdict_line(target, same.get(target.target))
        for proof in several:
            answer = f"{WORDS[proof.outcome]}: {' '.join(proof.reason.split())}"
            yield f"- {proof.place}", *_numbers(proof), answer


def _numbers(measured: ReleasedTarget | ReleasedProof | None) -> tuple[str, ...]:
    if measured is None:
        return (UNMEASURED,) * len(COLUMNS)
    return tuple(cell(metric, measured.metrics.get(metric), measured.disturbed) for metric in COLUMNS)


def _footnotes(release: Release) -> list[str]:
    proofs = (proof for target in release.targets for proof in target.proofs)
    return [FOOTNOTE] if any(mark(metric, proof.disturbed) for proof in proofs for metric in proof.metrics) else []
