"""The picture of size against KLD: the coordinates of points, labels, ticks and lines. The template draws the SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.evaluation.measurement import Measurement
from tasks.release.advice import beats
from tasks.release.axis import Axis, Tick, number_text
from tasks.release.labels import Label, free_place

WIDTH, HEIGHT = 760.0, 430.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 22.0, 22.0, 50.0
FRAME = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
SMALLEST = 1e-9
"""A KLD below this is only the rounding error of the logarithms. Its point is drawn on the frame."""


@dataclass(frozen=True)
class Point:
    """One target: its size in MB, its mean KLD in nats as it was measured, and whether it passed."""

    label: str
    size: float
    measured: Measurement
    passed: bool

    @property
    def kld(self) -> float:
        """The mean KLD in nats."""
        return self.measured.value

    @property
    def error(self) -> float:
        """The standard error of the KLD; 0 if it has none."""
        return self.measured.standard_error or 0.0


@dataclass(frozen=True)
class Dot:
    """A point in picture coordinates, with its error bar from `low` to `high` and the place of its label."""

    point: Point
    x: float
    y: float
    low: float
    high: float
    label: Label


@dataclass(frozen=True)
class Picture:
    """Everything that is drawn.

    front: the path of the Pareto front.
    gate: the line of the KLD bound that most targets have.
    noise: the upper edge of the band of the source's own noise.
    """

    dots: tuple[Dot, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    front: str
    gate: Tick | None
    noise: Tick | None
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def draw(points: Sequence[Point], gate: float | None, noise: float | None = None) -> Picture | None:
    """Return the picture, or None for no points.

    gate: the bound of the mean KLD that most targets have. noise: the source's mean KLD from itself.
    """
    if not points:
        return None
    klds = [point.kld for point in points if point.kld > SMALLEST]
    bounds = [line for line in (gate, noise) if line]
    sizes = Axis([point.size for point in points], LEFT, WIDTH - RIGHT, decades=False)
    heights = Axis([*klds, *bounds] or [SMALLEST, 1.0], HEIGHT - BOTTOM, TOP, decades=True)
    return Picture(
        dots=_dots(points, sizes, heights, bounds),
        x_ticks=sizes.ticks(),
        y_ticks=heights.ticks(),
        front=_front(points, sizes, heights),
        gate=Tick(heights.place(gate), number_text(gate)) if gate else None,
        noise=Tick(heights.place(noise), f"{noise:.2g}") if noise else None,
    )


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return the passed points that no other passed point beats in both size and KLD, the smallest first.

    The rule is that of the advice. So a larger point on the front may have a higher KLD, by less than is certain, if
    both were compared on different numbers of tokens.
    """
    passed = sorted((point for point in points if point.passed), key=lambda point: (point.size, point.kld))
    return [point for point in passed if not any(_beats(other, point) for other in passed)]


def _beats(one: Point, other: Point) -> bool:
    return beats(one.size, one.measured, other.size, other.measured)


def _front(points: Sequence[Point], sizes: Axis, heights: Axis) -> str:
    """Return the path in steps: between two neighbours on the front there is no target to choose."""
    path: list[str] = []
    for point in pareto(points):
        x, y = sizes.place(point.size), heights.place(point.kld)
        path.append(f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f},{y:.1f}")
    return "".join(path) if len(path) > 1 else ""


def _dots(points: Sequence[Point], sizes: Axis, heights: Axis, lines: Sequence[float]) -> tuple[Dot, ...]:
    places = {point.label: (sizes.place(point.size), heights.place(point.kld)) for point in points}
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in places.values()]
    taken += [(LEFT, heights.place(line) - 2, WIDTH - RIGHT, heights.place(line) + 2) for line in lines]
    dots = []
    for point in sorted(points, key=lambda point: places[point.label]):
        x, y = places[point.label]
        label = free_place(x, y, point.label, FRAME, taken)
        taken.append(label.box)
        low = heights.place(max(point.kld - point.error, 0.0))
        dots.append(Dot(point, x, y, low, heights.place(point.kld + point.error), label))
    return tuple(dots)
