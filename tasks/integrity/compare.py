"""Compares a file with its source: the map of tensors first, then the numbers of each.

Each number of both is read once, a piece at a time; memory is bounded by the piece, or by a row if that is longer.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from tasks.checkpoint.arrays import forget
from tasks.formats.stored import Content, Floats, Grid, Origin, Source, Stored
from tasks.integrity.bands import ROW_SHRINK, SUMS, Moments, allowed_error, allowed_scale, moments, same, scales
from tasks.integrity.likeness import Likeness, looks_like
from tasks.integrity.pieces import KEPT, expected_rows
from tasks.integrity.record import ComparedTensor, Integrity

SMALL = 256
"""The most numbers of a tensor that an unknown conversion may keep elsewhere than in a tensor: a GGUF file in its
metadata, as it does the numbers of Apertus' activation, and an ONNX graph in the constants of its arithmetic."""

UNKNOWN = "Hallmark does not know how the conversion changes tensors of this architecture or type"


def compare(
    target: str, content: Content, source: Source, threads: int, progress: Callable[[str, float], None]
) -> Integrity:
    """Return the comparison of what a file stores with what it was made from."""
    origins = {stored.name: stored.origin for stored in content.tensors if stored.origin is not None}
    lost = lost_tensors(source, list(origins.values()), content.dropped)
    chosen = [stored for stored in content.tensors if stored.origin is not None and stored.origin.parts]
    total = sum(_elements(stored) for stored in chosen)
    found: list[_Found] = []
    done = 0
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for stored, one in zip(chosen, pool.map(_compare_tensor, chosen), strict=True):
            found.append(one)
            done += _elements(stored)
            progress("comparing the weights with the source's", done / max(1, total))
    strange = {one.row.name: UNKNOWN for one in found if one.row.fault and not one.known}
    likenesses = [one.likeness for one in found]
    rows = []
    for one in found:
        if one.row.name not in strange:
            seen = looks_like(one.likeness, likenesses) if one.row.fault else None
            fault = f"{one.row.fault}; it looks {seen}" if seen else one.row.fault
            rows.append(one.row.model_copy(update={"fault": fault}))
    constants = {name: origin.constant for name, origin in origins.items() if origin.constant and not origin.parts}
    broken = [stored for stored in content.tensors if stored.name in constants and not _is_sound(stored)]
    nowhere = [stored.name for stored in content.tensors if stored.origin is None]
    if not content.known:
        strange |= dict.fromkeys(nowhere, UNKNOWN)
        # A tensor that nothing explains may hold any that is lost. Without one, a large tensor is nowhere in the file.
        excused = [name for name in lost if strange or source.tensors[name].bits.size <= SMALL]
        strange |= dict.fromkeys(excused, UNKNOWN)
        nowhere, lost = [], [name for name in lost if name not in excused]
    return Integrity(
        target=target,
        tensors=(*rows, *(_broken_constant(stored) for stored in broken)),
        constants={name: what for name, what in constants.items() if name not in {stored.name for stored in broken}},
        not_compared=strange,
        dropped=dict(content.dropped),
        lost=tuple(lost),
        from_nowhere=tuple(nowhere),
        source_tensors=len(source.tensors),
    )


def lost_tensors(source: Source, origins: list[Origin], dropped: Mapping[str, str]) -> list[str]:
    """Return the source's tensors of which some numbers are neither stored nor dropped with a reason."""
    stored: dict[str, int] = {}
    for origin in origins:
        for part in origin.parts:
            stored[part.source] = stored.get(part.source, 0) + part.numbers.bits.size
    return [
        name
        for name, numbers in source.tensors.items()
        if name not in dropped and stored.get(name, 0) < numbers.bits.size
    ]


@dataclass(frozen=True)
class _Found:
    row: ComparedTensor
    likeness: Likeness
    known: bool


@dataclass
class _Tally:
    """What is added up over the pieces of one tensor."""

    grid: Grid
    parts: list[Moments] = field(default_factory=list)
    identical: bool = True
    broken: int = 0

    def add(self, expected: Floats, stored: Floats, importance: Floats | None) -> None:
        finite = np.isfinite(stored)
        if not finite.all():
            self.broken += int(stored.size - finite.sum())
            stored = np.where(finite, stored, 0)
        if self.identical and np.array_equal(expected, stored):
            # Most pieces of a file in floating point: nothing else needs to be computed of them.
            self.parts.append(same(expected))
            return
        self.identical = False
        self.parts.append(moments(expected, stored, self.grid, importance))

    def rows(self) -> Moments:
        joined = {name: np.concatenate([getattr(part, name) for part in self.parts]) for name in SUMS}
        return Moments(self.parts[0].count, **joined)


def _compare_tensor(stored: Stored) -> _Found:
    origin = stored.origin
    assert origin is not None
    row = ComparedTensor(
        name=stored.name,
        sources=tuple(dict.fromkeys(part.source for part in origin.parts)),
        how=origin.how,
        type=stored.type,
        elements=_elements(stored),
    )
    expected = sum(part.numbers.bits.size for part in origin.parts)
    if expected != row.elements:
        fault = f"has {row.elements} numbers, where the source gives {expected}"
        return _Found(row.model_copy(update={"fault": fault}), Likeness(stored.name), origin.known)
    tally, likeness = _Tally(stored.grid), Likeness(stored.name)
    first = 0
    for source_rows, stored_rows in _beside(stored, origin):
        tally.add(source_rows, stored_rows, _importance(stored, first, len(source_rows)))
        likeness.add(source_rows, stored_rows)
        first += len(source_rows)
    if tally.broken:
        fault = f"{tally.broken} of its numbers are NaN or infinite"
        return _Found(row.model_copy(update={"fault": fault}), likeness, origin.known)
    return _Found(_judged(row, tally, likeness), likeness, origin.known)


def _beside(stored: Stored, origin: Origin) -> Iterator[tuple[Floats, Floats]]:
    first = read = 0
    for rows in expected_rows(origin, stored.row):
        yield rows, stored.read(first, first + len(rows))
        first += len(rows)
        read += rows.size
        if read > KEPT:
            _forget(stored, origin)
            read = 0
    _forget(stored, origin)


def _forget(stored: Stored, origin: Origin) -> None:
    for part in origin.parts:
        forget(part.numbers.bits)
    if stored.data is not None:
        forget(stored.data)


def _importance(stored: Stored, first: int, count: int) -> Floats | None:
    """Return the importance of the columns of some rows: one set for all, or that of each row's matrix."""
    if stored.importance is None or stored.importance.ndim == 1:
        return stored.importance
    of_matrix = _elements(stored) // stored.row // len(stored.importance)
    return stored.importance[np.arange(first, first + count) // of_matrix]


def _judged(row: ComparedTensor, tally: _Tally, likeness: Likeness) -> ComparedTensor:
    rows, grid = tally.rows(), tally.grid
    total = rows.total()
    error, scale = float(total.error[0]), float(scales(total, grid)[0])
    error_band = float(allowed_error(total, grid, grid.slack)[0])
    scale_band = float(allowed_scale(total, grid, grid.shrink, grid.balance_band)[0])
    faults = []
    if not abs(scale - 1) <= scale_band:
        likeness.scale = scale
        faults.append(_say_scale(scale, scale_band))
    if not error <= error_band:
        faults.append(_say_error(error, error_band))
    if not faults and len(rows.squares) > 1:
        faults += _worst_row(rows, grid)
    finite = {"error": error, "allowed_error": error_band, "scale": scale, "allowed_scale": scale_band}
    return row.model_copy(
        update={
            **{name: value if np.isfinite(value) else None for name, value in finite.items()},
            "identical": tally.identical,
            "fault": ", ".join(faults) or None,
        }
    )


def _worst_row(rows: Moments, grid: Grid) -> list[str]:
    """Return what is wrong with the worst row, and how many are wrong; nothing if all are within their bands."""
    errors, error_bands = rows.error, allowed_error(rows, grid, grid.row_slack)
    found = scales(rows, grid)
    scale_bands = allowed_scale(rows, grid, ROW_SHRINK * grid.shrink, grid.row_balance_band)
    far = np.abs(found - 1)
    outside = ~((errors <= error_bands) & (far <= scale_bands))
    count = int(outside.sum())
    if not count:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.nan_to_num(np.maximum(errors / error_bands, far / scale_bands), nan=np.inf)
    worst = int(np.argmax(np.where(outside, excess, 0)))
    what = _say_error(errors[worst], error_bands[worst])
    if far[worst] > scale_bands[worst]:
        what = _say_scale(found[worst], scale_bands[worst])
    return [f"{count} of {len(errors)} rows are wrong, the worst is row {worst}: {what}"]


def _say_scale(scale: float, band: float) -> str:
    return f"scale {scale:.4f}, {1 - band:.4f} to {1 + band:.4f} allowed"


def _say_error(error: float, band: float) -> str:
    return f"relative error {error:.2g}, at most {band:.2g} allowed"


def _is_sound(stored: Stored) -> bool:
    """Whether a constant holds finite numbers that are not all zero."""
    rows = _elements(stored) // stored.row
    numbers = stored.read(0, rows)
    return bool(np.isfinite(numbers).all() and numbers.any())


def _broken_constant(stored: Stored) -> ComparedTensor:
    return ComparedTensor(
        name=stored.name,
        sources=(),
        how="a constant",
        type=stored.type,
        elements=_elements(stored),
        fault="its numbers are NaN, infinite or all zero",
    )


def _elements(stored: Stored) -> int:
    return int(np.prod(stored.shape, dtype=np.int64))
