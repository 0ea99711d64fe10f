"""Finds the smallest corruption that the default gates see: in the runtime of the engine,

    python -m tests.sensitivity REFERENCE PARAMETERS WINDOWS PATTERN TARGET=FOLDER...

REFERENCE is the folder of a reference, PARAMETERS the size of its model, PATTERN chooses corruptions by their name (`*`
takes all), and each FOLDER holds the artifact of a GGUF target. It prints a table in Markdown: for each corruption and
target, the least strength that a gate blocks, those gates, and the mean divergence. docs/default-gates.md has what was
found. Gates on tokens, chats, ends and texts are left out: they see one text that differs, and no corrupted tensor
touches them.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.divergence import RowScores
from tasks.evaluation.fidelity import measure_fidelity
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import METRICS
from tasks.evaluation.noise import noise_metrics
from tasks.evaluation.reference_reader import Reference, open_reference
from tasks.formats.registry import parse_target, precision_of
from tasks.gates.defaults import default_rules
from tasks.gates.noise_floor import in_effect
from tasks.gates.rules import apply
from tasks.gates.verdict import Rule
from tasks.proving.opening import open_artifact
from tests.sensitivity.corruptions import Corruption, corrupted, corruptions

MEASURED = ("kld_mean", "kld_p99", "top1_agreement", "delta_ln_perplexity")


class FirstWindows:
    """The first windows of a reference."""

    def __init__(self, whole: Reference, windows: int) -> None:
        self._whole = whole
        self.info = whole.info.model_copy(update={"windows": min(windows, whole.info.windows)})
        self.tokens: NDArray[np.int32] = whole.tokens

    def compare(self, window: int, start: int, logits: NDArray[np.float32]) -> RowScores:
        """See Reference.compare."""
        return self._whole.compare(window, start, logits)

    def negative_log_likelihood(self, window: int) -> NDArray[np.float64]:
        """See Reference.negative_log_likelihood."""
        return self._whole.negative_log_likelihood(window)


@dataclass(frozen=True)
class Subject:
    """A target with its artifact, its gates and the reference."""

    target: str
    folder: Path
    reference: Reference
    rules: list[Rule]

    def blocked_by(self, corruption: Corruption, strength: float, work: Path) -> tuple[list[str], float]:
        """Return the labels of the gates that block the corrupted artifact, and its mean divergence."""
        copy = work / "artifact"
        shutil.copytree(self.folder, copy, ignore=shutil.ignore_patterns("*.gguf"))
        (file,) = self.folder.glob("*.gguf")
        corrupted(file, copy / file.name, corruption, strength)
        metrics = measured(self.target, copy, self.reference)
        shutil.rmtree(copy)
        failed = [rule.metric for rule in self.rules if apply(rule, metrics).outcome == "fail"]
        return [METRICS[metric].label for metric in failed], metrics["kld_mean"].value


def _silent(done: float, state: str) -> None:
    """Report nothing: a table is printed at the end."""


def measured(target: str, folder: Path, reference: Reference) -> dict[str, Measurement]:
    """Return the fidelity of an artifact."""
    runner = open_artifact(parse_target(target), folder, 1)
    try:
        return measure_fidelity(runner, reference, _silent).metrics
    finally:
        runner.close()


def rows(subjects: list[Subject], pattern: str, work: Path) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| corruption | {' | '.join(subject.target for subject in subjects)} |"
    yield f"|---|{'---|' * len(subjects)}"
    known = [{each.name: each for each in corruptions(next(s.folder.glob("*.gguf")))} for s in subjects]
    for name in filter(partial(fnmatchcase, pat=pattern), known[0]):
        cells = [cell(subject, each[name], work) for subject, each in zip(subjects, known, strict=True)]
        yield f"| {name} | {' | '.join(cells)} |"


def cell(subject: Subject, corruption: Corruption, work: Path) -> str:
    """Return the least strength that is blocked, the gates that block it, and its mean divergence.

    It is found by bisection: what is seen is seen if it is stronger, too.
    """
    low, high, seen = 0, len(corruption.strengths), ""
    while low < high:
        middle = (low + high) // 2
        gates, kld = subject.blocked_by(corruption, corruption.strengths[middle], work)
        if gates:
            high, seen = middle, f"{', '.join(gates)} ({kld:.2g})"
        else:
            low, missed = middle + 1, kld
    if not seen:
        return f"not seen ({missed:.2g})"
    return f"{corruption.strengths[high]:g}: {seen}" if len(corruption.strengths) > 1 else seen


def main() -> int:
    """Print the table."""
    folder, parameters, windows, pattern, *given = sys.argv[1:]
    whole = open_reference(Path(folder))
    reference = FirstWindows(whole, int(windows))
    noise = noise_metrics(whole.info.noise)
    subjects = []
    for one in given:
        target, _, artifact = one.partition("=")
        rules = default_rules(precision_of(parse_target(target)), float(parameters))
        chosen = [in_effect(rule, noise)[0] for rule in rules if rule.metric in MEASURED]
        subjects.append(Subject(target, Path(artifact), reference, chosen))
    with tempfile.TemporaryDirectory() as work:
        for line in rows(subjects, pattern, Path(work)):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
