"""Rows of the source's logits, computed by one evaluation and read by the next ones on this host.

The output head is the largest matrix of most models. Its product with the hidden states is the same for every artifact.
Computing it again for each artifact costs about as much as a quantized engine's own pass over the text. A row of
152,000 tokens takes 608 kB: too much for the store, little for a local disk.

Reading is cheaper than computing even where the vocabulary is large and the model small. CPU seconds for 128 rows of
262,144 tokens, one thread:

    hidden size   computed   written   read
            256       0.19      0.03   0.03
            640       0.45      0.03   0.04
           2304       1.48      0.03   0.04
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.parameters import DISK_SHARE
from tasks.host.proc import boot_id
from tasks.keys import code_digest

Rows = NDArray[np.float32]

FILE_NAME = re.compile(r"[0-9a-f-]{36}-.{16}\.rows")
"""Boot id and code digest, as in `<36 characters>-<16 characters>.rows`. Other files in the folder are other tasks'."""

CODE = ("tasks.evaluation.reference_reader:ExactReference",)
"""The code that decides the rows; the reference's digest does not change with it."""


class SharedRows:
    """Rows [rows, width] of float32 in one file of `folder`; each block of `block` rows is there or not.

    Any number of processes may read and write at once, because all of them write the same. A byte behind all rows
    announces each block after it was written, so a file that was cut or removed announces nothing. A power cut may keep
    the announcement and lose the block: the file of an earlier boot, or of other code, is removed and never read.
    `folder` is shared with other tasks; their files stay.
    """

    def __init__(self, folder: Path, rows: int, width: int, block: int) -> None:
        kept = folder / f"{boot_id()}-{code_digest(CODE)[:16]}.rows"
        for stale in folder.iterdir():
            if stale != kept and FILE_NAME.fullmatch(stale.name):
                stale.unlink(missing_ok=True)
        self._rows, self._width, self._block = rows, width, block
        self._last: tuple[int, Rows] | None = None
        there = kept.stat().st_blocks * 512 if kept.exists() else 0
        self._writable = 4 * rows * width - there < DISK_SHARE * shutil.disk_usage(folder).free
        kept.touch()
        self._file = kept.open("r+b", buffering=0)

    def read(self, start: int, stop: int, compute: Callable[[int, int], Rows]) -> Rows:
        """Return rows start to stop; blocks that are not there are made by `compute(start, stop)` and kept."""
        found = np.empty((stop - start, self._width), np.float32)
        for first in range(start - start % self._block, stop, self._block):
            here = slice(max(first, start), min(first + self._block, stop))
            wanted = found[here.start - start : here.stop - start]
            if not (self._is_there(first) and self._fill(wanted, here.start)):
                made = self._make(first, compute)
                wanted[:] = made[here.start - first : here.stop - first]
        return found

    def _make(self, first: int, compute: Callable[[int, int], Rows]) -> Rows:
        """Compute a block and keep it: in the file, and in memory for the rest of it that is asked for next."""
        if self._last is None or self._last[0] != first:
            # The old block is freed before there is a new one.
            self._last = None
            self._last = first, compute(first, min(first + self._block, self._rows))
            self._keep(first, self._last[1])
        return self._last[1]

    def _is_there(self, first: int) -> bool:
        return os.pread(self._file.fileno(), 1, self._announcement(first)) == b"\1"

    def _announcement(self, first: int) -> int:
        return 4 * self._rows * self._width + first // self._block

    def _fill(self, wanted: Rows, row: int) -> bool:
        """Read rows; whether all of them were there."""
        # Read and not mapped: what is mapped counts as this process's memory.
        return os.preadv(self._file.fileno(), [wanted.data.cast("B")], 4 * row * self._width) == wanted.nbytes

    def _keep(self, first: int, made: Rows) -> None:
        if not self._writable:
            return
        data = made.data.cast("B")
        try:
            if os.pwrite(self._file.fileno(), data, 4 * first * self._width) == len(data):
                os.pwrite(self._file.fileno(), b"\1", self._announcement(first))
        except OSError:
            # The disk is full: computing is slower, and nothing else.
            self._writable = False
