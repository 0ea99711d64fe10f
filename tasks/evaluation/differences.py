"""Finds where an artifact differs from the source, token by token and text by text.

A metric says how far an artifact is from the reference. It cannot say which of the two is wrong. With the differences,
the artifacts of two engines can be compared with each other, too. `tasks/release/second_opinion.py` does so.
"""

import hashlib
from collections.abc import Sequence

from tasks.evaluation.measurement import Differences
from tasks.evaluation.parity import Cut

SAMPLE = 2048
"""Tokens that are kept. A fault of the reference shows in a few hundred of them; these take 30 kB of JSON."""


def find_differences(cuts: Sequence[Cut], nll: Sequence[float]) -> Differences:
    """Return the differences of an artifact.

    cuts: how it cuts the parity texts.
    nll: its negative log-likelihood minus the source's, in nats, for each predicted token of the evaluation windows.
    """
    others = {cut.case.name: _digest(cut.ids) for cut in cuts if not cut.same}
    return Differences(nll=tuple(float(f"{value:.6g}") for value in nll[:SAMPLE]), cuts=others)


def _digest(ids: Sequence[int]) -> str:
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
