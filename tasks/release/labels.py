"""Places the labels of the picture's points so that they do not cover each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CHARACTER = 6.9
"""Width of an average character at the picture's 12.5 px; rather too wide, so that labels do not touch."""

LINE = 15.0
"""Height of a label."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

Anchor = Literal["start", "middle", "end"]


SIDES = ((1, -1), (1, 0), (-1, 0), (0, -1), (0, 1), (1, 1), (-1, -1), (-1, 1))
"""Sides and corners of a point, the best first: no line of the picture runs through a label above to the right."""


@dataclass(frozen=True)
class Label:
    """The place of a label.

    x, y, anchor: the position of the text, and whether the text begins, is centred or ends there.
    box: the area that the text covers.
    leader: the path of a line to the point; empty where the label is next to its point.
    """

    x: float
    y: float
    anchor: Anchor
    box: Box
    leader: str = ""


def free_place(x: float, y: float, text: str, frame: Box, taken: Sequence[Box]) -> Label:
    """Return the place around a point where its label covers least; of equal places the first.

    taken: the boxes of all dots, and of the labels that were placed before.
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
