"""Opens a reference and compares an artifact's rows with it, whichever way it holds the source's distributions."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.errors import Corrupt
from tasks.evaluation.divergence import RowScores, compare_rows, compare_top_rows, normalize_rows
from tasks.evaluation.reference_files import ReferenceInfo, read_part

BLOCK_ROWS = 64
"""Rows whose logits are alive at once: the head is read from memory once per block, so that small blocks would starve
the matrix product, and 64 rows of 152,000 tokens are 39 MB."""


class Reference(Protocol):
    """What the source says at every token of the evaluation text."""

    info: ReferenceInfo
    tokens: NDArray[np.int32]

    def compare(self, window: int, start: int, logprobs: NDArray[np.float32]) -> RowScores:
        """Score an artifact's rows start, start + 1, ... of a window against the source's; the last token has none."""

    def negative_log_likelihood(self, window: int) -> NDArray[np.float64]:
        """Return the source's [window_tokens - 1] values in nats."""


class ExactReference:
    """Log-probabilities from hidden states and the source's own output head; holds the head as float32 in memory."""

    def __init__(self, folder: Path, info: ReferenceInfo) -> None:
        self.info = info
        shape = (info.windows, info.window_tokens)
        self.tokens: NDArray[np.int32] = _read(folder, "tokens.npy", shape)
        self._hidden = _read(folder, "hidden.npy", (*shape, info.hidden_size))
        stored = _read(folder, "head.npy", (info.vocabulary_size, info.hidden_size))
        self._head = expand(stored, info.head_dtype == "bfloat16")
        has_bias = (folder / "head-bias.npy").exists()
        self._bias = np.asarray(_read(folder, "head-bias.npy", (info.vocabulary_size,))) if has_bias else None

    def logits(self, window: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return the source's final logits of rows [stop - start, vocabulary]."""
        logits: NDArray[np.float32] = self._hidden[window, start:stop] @ self._head.T
        if self._bias is not None:
            logits += self._bias
        if self.info.scale != 1.0:
            logits *= np.float32(self.info.scale)
        if self.info.soft_cap is not None:
            logits /= np.float32(self.info.soft_cap)
            np.tanh(logits, out=logits)
            logits *= np.float32(self.info.soft_cap)
        return logits

    def logprobs(self, window: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return the source's log-probabilities of rows [stop - start, vocabulary]."""
        logits = self.logits(window, start, stop)
        normalize_rows(logits, np.empty_like(logits), logits.argmax(axis=1))
        return logits

    def compare(self, window: int, start: int, logprobs: NDArray[np.float32]) -> RowScores:
        """See Reference.compare."""
        rows = len(logprobs)
        targets = self.tokens[window, start + 1 : start + 1 + rows]
        return compare_rows(self.logits(window, start, start + rows), logprobs, targets)

    def negative_log_likelihood(self, window: int) -> NDArray[np.float64]:
        """See Reference.negative_log_likelihood."""
        rows = self.info.window_tokens - 1
        found = np.empty(rows, np.float64)
        for start in range(0, rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, rows)
            targets = self.tokens[window, start + 1 : stop + 1]
            found[start:stop] = -self.logprobs(window, start, stop)[np.arange(stop - start), targets]
        return found


class TopKReference:
    """The most likely tokens of every row, for a source whose logits do not come back from its hidden states."""

    def __init__(self, folder: Path, info: ReferenceInfo) -> None:
        self.info = info
        shape = (info.windows, info.window_tokens)
        kept = info.kept or 0
        self.tokens: NDArray[np.int32] = _read(folder, "tokens.npy", shape)
        self._ids = _read(folder, "top-ids.npy", (*shape, kept))
        self._logprobs = _read(folder, "top-logprobs.npy", (*shape, kept))
        self._nll = _read(folder, "target-nll.npy", (info.windows, info.window_tokens - 1))

    def compare(self, window: int, start: int, logprobs: NDArray[np.float32]) -> RowScores:
        """See Reference.compare; the divergence is a lower bound."""
        stop = start + len(logprobs)
        rows = slice(start, stop)
        targets = self.tokens[window, start + 1 : stop + 1]
        known = (self._ids[window, rows], self._logprobs[window, rows], self._nll[window, rows])
        return compare_top_rows(*known, logprobs, targets, self.info.vocabulary_size)

    def negative_log_likelihood(self, window: int) -> NDArray[np.float64]:
        """See Reference.negative_log_likelihood."""
        return np.asarray(self._nll[window], np.float64)


def open_reference(folder: Path) -> ExactReference | TopKReference:
    """Open a reference artifact; raises Corrupt with the file where its parts disagree."""
    info = read_part(folder, "reference.json", ReferenceInfo)
    return ExactReference(folder, info) if info.kind == "exact" else TopKReference(folder, info)


def expand(stored: NDArray[Any], is_bfloat16: bool) -> NDArray[np.float32]:
    """Return stored weights as float32, without loss: a bfloat16 is the upper half of the float32 of the same value."""
    if not is_bfloat16:
        return np.asarray(stored, np.float32)
    return (stored.astype(np.uint32) << 16).view(np.float32)


def _read(folder: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(folder / name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Corrupt(f"{name} of the reference cannot be read ({error}); make it again with 'force'.") from error
    if array.shape != shape:
        raise Corrupt(f"{name} of the reference has the shape {array.shape}, not {shape}; make it again with 'force'.")
    return array
