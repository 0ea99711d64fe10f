"""The release's table as text and as Markdown, with the same numbers as in the report.

A target has one line. If it has several proofs, its line has its outcome, and the line of each proof has the numbers.

A comparison that ends early reads less text than another. Perplexities of different texts cannot be compared, so the
table then shows the difference from the source's on the same tokens, and how many tokens the numbers rest on.
A timing that was disturbed is marked, and a line below the table says what the mark means.
The last line is the source's own noise, if the reference measured it.
"""

from collections.abc import Iterator, Mapping, Sequence

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import TIMED_METRICS
from tasks.gates.wording import say_value
from tasks.plan.shared_reasons import first_with
from tasks.release.noise import NAME, beside_targets, noise_line, source_noise
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
DIFFERENCE = {"delta_ln_perplexity": "Δ ln ppl"}
"""The column that stands in place of the perplexity where the targets were compared on different texts."""

TOKENS = "tokens compared"
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
    rows = list(_rows(release))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, last = row[0].ljust(widths[0]), row[-1]
        numbers = (cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True))
        lines.append("  ".join((first, *numbers, last)).rstrip())
    return "\n".join([*lines, *_footnotes(release)]) + "\n"


def release_markdown(release: Release) -> str:
    """Return the table in Markdown."""
    headings, *rows = _rows(release)
    rows = [headings, ("---", *("---:" for _ in headings[1:-1]), "---"), *rows]
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join([*lines, *(line for note in _footnotes(release) for line in ("", note))]) + "\n"


def columns_of(release: Release) -> dict[str, str]:
    """Return the metrics of the table, each with its heading."""
    if not texts_differ(release):
        return COLUMNS
    replaced: dict[str, str] = {}
    for metric, heading in COLUMNS.items():
        replaced |= DIFFERENCE if metric == "perplexity" else {metric: heading}
    return replaced


def texts_differ(release: Release) -> bool:
    """Return whether the numbers of the targets rest on different numbers of tokens."""
    return len({tokens_compared(proof.metrics) for target in release.targets for proof in target.proofs} - {None}) > 1


def tokens_compared(metrics: Mapping[str, Measurement]) -> int | None:
    """Return how many predicted tokens an artifact's divergence rests on; None if it was not measured."""
    measured = metrics.get("kld_mean")
    return measured.observations if measured else None


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
    shown = (cell(metric, target.metrics.get(metric), target.disturbed) for metric in COLUMNS)
    tokens = tokens_compared(target.metrics)
    rest = [f"{TOKENS} {tokens:,}"] if tokens else []
    numbers = (f"{heading} {number}" for heading, number in zip(COLUMNS.values(), shown, strict=True))
    return " · ".join([*numbers, *rest])


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
    """Yield the headings, and then the lines."""
    columns, with_tokens = columns_of(release), texts_differ(release)
    yield "target", *columns.values(), *([TOKENS] if with_tokens else []), "verdict"

    def shown(metrics: Mapping[str, Measurement], disturbed: str | None = None) -> tuple[str, ...]:
        tokens = tokens_compared(metrics)
        count = [f"{tokens:,}" if tokens else UNMEASURED] if with_tokens else []
        return *(cell(metric, metrics.get(metric), disturbed) for metric in columns), *count

    def numbers(measured: ReleasedTarget | ReleasedProof | None) -> tuple[str, ...]:
        return shown(measured.metrics, measured.disturbed) if measured else shown({})

    same = same_reason_above(release.targets)
    for target in release.targets:
        several = target.proofs if len(target.proofs) > 1 else ()
        yield target.target, *numbers(None if several else target), verdict_line(target, same.get(target.target))
        for proof in several:
            answer = f"{WORDS[proof.outcome]}: {' '.join(proof.reason.split())}"
            yield f"- {proof.place}", *numbers(proof), answer
    if noise := source_noise(release):
        yield NAME, *shown(beside_targets(noise)), noise_line()


def _footnotes(release: Release) -> list[str]:
    proofs = (proof for target in release.targets for proof in target.proofs)
    return [FOOTNOTE] if any(mark(metric, proof.disturbed) for proof in proofs for metric in proof.metrics) else []
