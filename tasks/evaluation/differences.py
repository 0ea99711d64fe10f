"""Finds where an artifact differs from the source, token by token and text by text.

A metric says how far an artifact is from the reference. It cannot say which of the two is wrong. With the differences,
the artifacts of two engines can be compared with each other, too. `tasks/release/second_opinion.py` does so.
"""

import hashlib
from collections.abc import Sequence

from tasks.engines.runner import Runner
from tasks.evaluation.measurement import Differences
from tasks.evaluation.reference_files import ParityTexts

SAMPLE = 2048
"""Tokens that are kept. A fault of the reference shows in a few hundred of them; these take 30 kB of JSON."""


def find_differences(runner: Runner, texts: ParityTexts, nll: Sequence[float]) -> Differences:
    """Return the differences of an artifact.

    nll: its negative log-likelihood minus the source's, in nats, for each predicted token of the evaluation windows.
    """
    cuts = {}
    for case in texts.cases:
        ids = list(runner.tokenize(case.text))
        if ids != list(case.token_ids):
            cuts[case.name] = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
    return Differences(nll=tuple(float(f"{value:.6g}") for value in nll[:SAMPLE]), cuts=cuts)
