"""Rows of the source's logits that one evaluation on this host has computed, for the next ones to read.

The source's output head is the largest matrix of most models, and its product with the hidden states is the same for
every artifact: recomputed each time, it cost about as much as a quantized engine's own pass over the text. A row of
152,000 tokens takes 608 kB, too much for the store and no matter for a local disk.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import Corrupt

Rows = NDArray[np.float32]

DISK_SHARE = 0.5
"""The most of the free disk that the rows may take; where they are larger, they are computed each time."""


class SharedRows:
    """Rows [rows, width] of float32 in a file, in blocks of `block` rows that are there or not.

    Any number of processes may read and write: all of them would write the same. A block is announced in a second file
    after it was written. A power cut may keep the announcement and lose the block, so files of an earlier start of the
    machine are not believed, and removed.
    """

    def __init__(self, folder: Path, rows: int, width: int, block: int) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        for stale in folder.iterdir():
            if not stale.name.startswith(boot):
                stale.unlink(missing_ok=True)
        self._rows, self._width, self._block = rows, width, block
        self._last: tuple[int, Rows] | None = None
        kept, told = folder / f"{boot}.logits", folder / f"{boot}.done"
        there = kept.stat().st_blocks * 512 if kept.exists() else 0
        self._writable = 4 * rows * width - there < DISK_SHARE * shutil.disk_usage(folder).free
        kept.touch()
        told.touch()
        self._kept, self._told = (path.open("r+b", buffering=0) for path in (kept, told))

    def read(self, start: int, stop: int, compute: Callable[[int, int], Rows]) -> Rows:
        """Return rows start to stop; blocks that are not there are made by `compute(start, stop)` and kept."""
        found = np.empty((stop - start, self._width), np.float32)
        for first in range(start - start % self._block, stop, self._block):
            here = slice(max(first, start), min(first + self._block, stop))
            wanted = found[here.start - start : here.stop - start]
            if self._is_there(first):
                self._fill(wanted, here.start)
            else:
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
        return os.pread(self._told.fileno(), 1, first // self._block) == b"\1"

    def _fill(self, wanted: Rows, row: int) -> None:
        # Read and not mapped: what is mapped counts as this process's memory.
        size = os.preadv(self._kept.fileno(), [wanted.data.cast("B")], 4 * row * self._width)
        if size != wanted.nbytes:
            raise Corrupt("The worker cache's copy of the source's rows is cut short; remove the folder `workspaces`.")

    def _keep(self, first: int, made: Rows) -> None:
        if not self._writable:
            return
        try:
            data = made.data.cast("B")
            whole = os.pwrite(self._kept.fileno(), data, 4 * first * self._width) == len(data)
        except OSError:
            # The disk is full: computing is slower, and nothing else.
            self._writable = False
            return
        if whole:
            with suppress(OSError):
                os.pwrite(self._told.fileno(), b"\1", first // self._block)
