"""Places for the labels of points, so that they can be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CHARACTER = 6.9
"""Width of an average character at the picture's 12.5 px, on the wide side, so that labels keep apart."""

LINE = 15.0
"""Height of a label."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

Anchor = Literal["start", "middle", "end"]


SIDES = ((1, -1), (1, 0), (-1, 0), (0, -1), (0, 1), (1, 1), (-1, -1), (-1, 1))
"""Sides and corners of a point, best first: above to the right, where neither steps nor bars run through a label."""


@dataclass(frozen=True)
class Label:
    """Where a label's text begins, is centred or ends (`anchor`), and the box that it fills.

    `leader` is the path of a line to its point, empty where the label is beside it.
    """

    x: float
    y: float
    anchor: Anchor
    box: Box
    leader: str = ""


def free_place(x: float, y: float, text: str, frame: Box, taken: Sequence[Box]) -> Label:
    """Return the first place around a point where its label covers nothing, or else the one where it covers least.

    `taken` are the boxes of dots and of labels placed before.
    """
    places = [_beside(x, y, len(text) * CHARACTER, *side, away) for away in range(4) for side in SIDES]
    return min(places, key=lambda label: _outside(label.box, frame) + sum(_overlap(label.box, box) for box in taken))


def _beside(x: float, y: float, width: float, side: int, rise: int, away: int) -> Label:
    label_x = x + side * (11.0 if rise == 0 else 7.0)
    label_y = y + 4.5 + rise * (LINE - 2) + (-away if rise < 0 else away) * LINE
    anchor: Anchor = "start" if side > 0 else "end" if side < 0 else "middle"
    left = label_x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    box = (left, label_y - LINE + 3, left + width, label_y + 3)
    leader = f"M{x:.1f},{y:.1f}L{label_x - 2 * side:.1f},{box[3] if label_y < y else box[1]:.1f}" if away else ""
    return Label(label_x, label_y, anchor, box, leader)


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box, frame: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, frame)
