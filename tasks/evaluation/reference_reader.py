"""Opens a reference and compares an artifact's rows with it, for both ways in which a reference is stored."""

from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.errors import Corrupt
from tasks.evaluation.divergence import RowScores, chunk_rows, compare_rows, compare_top_rows, log_masses
from tasks.evaluation.reference_files import LONG, ReferenceInfo, read_part
from tasks.evaluation.shared_rows import SharedRows

COMPUTED_ROWS = 128
"""Rows that are computed at once. The whole head is read, and expanded to float32, once for them: with 64 rows that
took half as long as the product itself."""

HEAD_ROWS = 1024
"""Rows of the head that are copied at a time: float32 of a width of 896, they are 4 MB and stay in a core's cache."""


class Reference(Protocol):
    """What the source says at every token of the evaluation text."""

    info: ReferenceInfo
    tokens: NDArray[np.int32]

    def compare(self, window: int, start: int, logits: NDArray[np.float32]) -> RowScores:
        """Score an artifact's rows start, start + 1, ... of a window against the source's; the last token has none."""

    def negative_log_likelihood(self, window: int) -> NDArray[np.float64]:
        """Return the source's [window_tokens - 1] values in nats."""


class ExactReference:
    """Logits from hidden states and the source's own output head.

    Rows are taken from, and kept in, the folder `shared` where one is given. Neither the head nor the hidden states are
    ever whole in this process's own memory: both are mapped, and expanded part by part.
    """

    def __init__(self, folder: Path, info: ReferenceInfo, shared: Path | None = None, head: Path | None = None) -> None:
        """Map the arrays in `folder`. Those of the output head are in the folder `head`, where one is given."""
        self.info = info
        head = head or folder
        shape = (info.windows, info.window_tokens)
        self.tokens: NDArray[np.int32] = _read(folder, "tokens.npy", shape, "int32")
        hidden = _read(folder, "hidden.npy", (*shape, info.hidden_size), "float32")
        self._hidden = hidden.reshape(-1, info.hidden_size)
        dtype = "uint16" if info.head_dtype == "bfloat16" else str(info.head_dtype)
        self._head = _read(head, "head.npy", (info.vocabulary_size, info.hidden_size), dtype)
        has_bias = (head / "head-bias.npy").exists()
        self._bias = _read(head, "head-bias.npy", (info.vocabulary_size,), "float32") if has_bias else None
        rows = len(self._hidden)
        self._shared = None if shared is None else SharedRows(shared, rows, info.vocabulary_size, COMPUTED_ROWS)

    def logits(self, window: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return the source's final logits of rows [stop - start, vocabulary]."""
        first = window * self.info.window_tokens
        if self._shared is None:
            return self._compute(first + start, first + stop)
        return self._shared.read(first + start, first + stop, self._compute)

    def _compute(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the logits of rows that are counted through all windows."""
        hidden, vocabulary = self._hidden[start:stop], self.info.vocabulary_size
        logits = np.empty((stop - start, vocabulary), np.float32)
        for first in range(0, vocabulary, HEAD_ROWS):
            part = slice(first, first + HEAD_ROWS)
            head = expand(self._head[part], self.info.head_dtype == "bfloat16")
            np.matmul(hidden, head.T, out=logits[:, part])
        if self._bias is not None:
            logits += self._bias
        if self.info.scale != 1.0:
            logits *= np.float32(self.info.scale)
        if self.info.soft_cap is not None:
            logits /= np.float32(self.info.soft_cap)
            np.tanh(logits, out=logits)
            logits *= np.float32(self.info.soft_cap)
        return logits

    def compare(self, window: int, start: int, logits: NDArray[np.float32]) -> RowScores:
        """See Reference.compare."""
        parts = []
        for begin, source in self._chunks(window, start, start + len(logits)):
            end = begin + len(source)
            targets = self.tokens[window, begin + 1 : end + 1]
            parts.append(compare_rows(source, logits[begin - start : end - start], targets))
        return RowScores(*(np.concatenate(columns) for columns in zip(*map(astuple, parts), strict=True)))

    def _chunks(self, window: int, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (first row, the source's logits of some rows) of the rows start to stop, in order.

        Rows in the shared folder are read a chunk at a time. Others are computed COMPUTED_ROWS at a time.
        """
        at_once = chunk_rows(self.info.vocabulary_size)
        taken = COMPUTED_ROWS if self._shared is None else at_once
        for first in range(start, stop, taken):
            rows = self.logits(window, first, min(first + taken, stop))
            for place in range(0, len(rows), at_once):
                yield first + place, rows[place : place + at_once]

    def is_finite(self, window: int) -> bool:
        """Return whether all hidden states of a window are finite."""
        length = self.info.window_tokens
        return bool(np.isfinite(self._hidden[window * length : (window + 1) * length]).all())

    def negative_log_likelihood(self, window: int) -> NDArray[np.float64]:
        """See Reference.negative_log_likelihood."""
        rows = self.info.window_tokens - 1
        found = np.empty(rows, np.float64)
        for start in range(0, rows, COMPUTED_ROWS):
            stop = min(start + COMPUTED_ROWS, rows)
            logits, targets = self.logits(window, start, stop), self.tokens[window, start + 1 : stop + 1]
            found[start:stop] = log_masses(logits) - logits[np.arange(stop - start), targets]
        return found


class TopKReference:
    """The most likely tokens of every row, for a source whose logits do not come back from its hidden states."""

    def __init__(self, folder: Path, info: ReferenceInfo) -> None:
        self.info = info
        shape = (info.windows, info.window_tokens)
        kept = info.kept or 0
        self.tokens: NDArray[np.int32] = _read(folder, "tokens.npy", shape, "int32")
        self._ids = _read(folder, "top-ids.npy", (*shape, kept), "int32")
        self._logprobs = _read(folder, "top-logprobs.npy", (*shape, kept), "float32")
        self._nll = _read(folder, "target-nll.npy", (info.windows, info.window_tokens - 1), "float32")

    def compare(self, window: int, start: int, logits: NDArray[np.float32]) -> RowScores:
        """See Reference.compare; the divergence is a lower bound."""
        stop = start + len(logits)
        rows = slice(start, stop)
        targets = self.tokens[window, start + 1 : stop + 1]
        known = (self._ids[window, rows], self._logprobs[window, rows], self._nll[window, rows])
        return compare_top_rows(*known, logits, targets, self.info.vocabulary_size)

    def is_finite(self, window: int) -> bool:
        """Return whether all negative log-likelihoods of a window are finite."""
        return bool(np.isfinite(self._nll[window]).all())

    def negative_log_likelihood(self, window: int) -> NDArray[np.float64]:
        """See Reference.negative_log_likelihood."""
        return np.asarray(self._nll[window], np.float64)


def open_reference(folder: Path, shared: Path | None = None) -> ExactReference | TopKReference:
    """Open a reference artifact; raises Corrupt with the file where its parts disagree.

    shared: a folder of this host's in which what was computed is kept for others that open the same reference.
    """
    info = read_part(folder, "reference.json", ReferenceInfo)
    return ExactReference(folder, info, shared) if info.kind == "exact" else TopKReference(folder, info)


def open_long_window(folder: Path, shared: Path | None = None) -> ExactReference | TopKReference | None:
    """Open the long window of a reference artifact, None where it has none; raises as `open_reference`."""
    part = folder / LONG
    if not part.is_dir():
        return None
    info = read_part(part, "reference.json", ReferenceInfo)
    if info.kind == "top-k":
        return TopKReference(part, info)
    rows = None if shared is None else shared / LONG
    if rows is not None:
        rows.mkdir(exist_ok=True)
    return ExactReference(part, info, rows, head=folder)


def expand(stored: NDArray[Any], is_bfloat16: bool) -> NDArray[np.float32]:
    """Return stored weights as float32, without loss: a bfloat16 is the upper half of the float32 of the same value."""
    if not is_bfloat16:
        return np.asarray(stored, np.float32)
    return (stored.astype(np.uint32) << 16).view(np.float32)


def _read(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(folder / name, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy parses the header as Python's own literals, and raises whatever that does
        why = " ".join(str(error).split()) or type(error).__name__
        raise Corrupt(f"{name} of the reference cannot be read ({why}); make it again with 'force'.") from error
    # An archive of arrays, which numpy opens by the same call, has neither type nor shape.
    found = (str(getattr(array, "dtype", "an archive")), getattr(array, "shape", ()))
    if found != (dtype, shape):
        told = f"has the type and shape {found[0]} {found[1]}, not {dtype} {shape}"
        raise Corrupt(f"{name} of the reference {told}; make it again with 'force'.")
    return array
