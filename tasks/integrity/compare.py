"""Compares a file with its source: the map of tensors first, then the numbers of each.

Each number of both is read once, a piece at a time; memory is bounded by the piece, or by a row if that is longer.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from tasks.formats.stored import Content, Floats, Grid, Origin, Source, Stored
from tasks.integrity.bands import Moments, allowed_error, allowed_slope, moments
from tasks.integrity.likeness import Likeness, looks_like
from tasks.integrity.pieces import expected_rows
from tasks.integrity.record import ComparedTensor, Integrity

UNKNOWN = "how this architecture's tensors are changed for the format is not known here"


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
    return Integrity(
        target=target,
        tensors=(*rows, *(_broken_constant(stored) for stored in broken)),
        constants={name: what for name, what in constants.items() if name not in {stored.name for stored in broken}},
        not_compared=strange,
        dropped=dict(content.dropped),
        lost=tuple(lost),
        from_nowhere=tuple(stored.name for stored in content.tensors if stored.origin is None),
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

    def add(self, expected: Floats, stored: Floats) -> None:
        finite = np.isfinite(stored)
        if not finite.all():
            self.broken += int(stored.size - finite.sum())
            stored = np.where(finite, stored, 0)
        if self.identical and np.array_equal(expected, stored):
            # Most pieces of a file in floating point: nothing else needs to be computed of them.
            squares = np.einsum("rn,rn->r", expected, expected).astype(np.float64)
            none = np.zeros_like(squares)
            self.parts.append(Moments(expected.shape[1], squares, none, none, none, none))
            return
        self.identical = False
        self.parts.append(moments(expected, stored, self.grid))

    def rows(self) -> Moments:
        fields = ("squares", "cross", "errors", "expected", "spread")
        joined = {name: np.concatenate([getattr(part, name) for part in self.parts]) for name in fields}
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
    for source_rows, stored_rows in _beside(stored, origin):
        tally.add(source_rows, stored_rows)
        likeness.add(source_rows, stored_rows)
    if tally.broken:
        fault = f"{tally.broken} of its numbers are NaN or infinite"
        return _Found(row.model_copy(update={"fault": fault}), likeness, origin.known)
    return _Found(_judged(row, tally, likeness), likeness, origin.known)


def _beside(stored: Stored, origin: Origin) -> Iterator[tuple[Floats, Floats]]:
    first = 0
    for rows in expected_rows(origin, stored.row):
        yield rows, stored.read(first, first + len(rows))
        first += len(rows)


def _judged(row: ComparedTensor, tally: _Tally, likeness: Likeness) -> ComparedTensor:
    rows, grid = tally.rows(), tally.grid
    total = rows.total()
    error, slope = float(total.error[0]), float(total.slope[0])
    error_band, slope_band = float(allowed_error(total, grid, grid.slack)[0]), float(allowed_slope(total, grid)[0])
    likeness.slope = slope
    fault = None
    if not np.isfinite(error) or error > error_band:
        fault = f"relative error {error:.2g}, at most {error_band:.2g} allowed"
    if abs(slope - 1) > slope_band:
        said = f"slope {slope:.4g}, {1 - slope_band:.4g} to {1 + slope_band:.4g} allowed"
        fault = f"{said}, {fault}" if fault else said
    if fault is None and len(rows.squares) > 1:
        fault = _worst_row(rows, grid)
    return row.model_copy(
        update={
            "error": error if np.isfinite(error) else None,
            "allowed_error": error_band if np.isfinite(error_band) else 0.0,
            "slope": slope,
            "allowed_slope": slope_band if np.isfinite(slope_band) else 0.0,
            "identical": tally.identical,
            "fault": fault,
        }
    )


def _worst_row(rows: Moments, grid: Grid) -> str | None:
    """Return what is wrong with the worst row, and how many are wrong, or None if all are within their bands."""
    errors, error_bands = rows.error, allowed_error(rows, grid, grid.row_slack)
    slopes, slope_bands = rows.slope, allowed_slope(rows, grid)
    far = np.abs(slopes - 1)
    outside = (errors > error_bands) | (far > slope_bands)
    count = int(outside.sum())
    if not count:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(outside, np.maximum(errors / error_bands, far / slope_bands), 0)
    worst = int(np.argmax(excess))
    what = f"slope {slopes[worst]:.4g}, {1 - slope_bands[worst]:.4g} to {1 + slope_bands[worst]:.4g} allowed"
    if far[worst] <= slope_bands[worst]:
        what = f"relative error {errors[worst]:.2g}, at most {error_bands[worst]:.2g} allowed"
    return f"{count} of {len(errors)} rows are wrong; row {worst}: {what}"


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
