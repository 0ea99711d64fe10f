"""Rows of logits as tests look at them: whole, and normalized."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Normalize rows [..., vocabulary] in float64."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    normal: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normal


def all_logits(runner: Any, ids: Sequence[int]) -> NDArray[np.float32]:
    """Return a runner's rows [tokens, vocabulary]; its blocks may be overwritten by the next."""
    return np.concatenate([block.copy() for block in runner.logits(ids)])
