"""An axis of the picture: it maps numbers to coordinates and chooses round numbers for its ticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOG_FROM = 3.0
"""An axis is logarithmic where its largest number is more than this many times its smallest."""


@dataclass(frozen=True)
class Tick:
    """A grid line: its coordinate and its label."""

    at: float
    text: str


class Axis:
    """Maps numbers to coordinates, on a linear or a logarithmic scale."""

    def __init__(self, numbers: Sequence[float], start: float, end: float, decades: bool) -> None:
        smallest, largest = min(numbers), max(numbers)
        self.log = smallest > 0 and largest / smallest > LOG_FROM
        self._start, self._end = start, end
        if not self.log:
            margin = (largest - smallest) * 0.12 or abs(largest) * 0.1 or 1.0
            self._low, self._high = max(0.0, smallest - margin), largest + margin
        elif decades:
            self._low = math.floor(math.log10(smallest) - 0.05)
            self._high = max(math.ceil(math.log10(largest) + 0.05), self._low + 1)
        else:
            margin = 0.1 * math.log10(largest / smallest)
            self._low, self._high = math.log10(smallest) - margin, math.log10(largest) + margin

    def place(self, number: float) -> float:
        """Return a number's coordinate; a number outside the axis is placed on the frame."""
        value = (math.log10(number) if number > 0 else self._low) if self.log else number
        share = (value - self._low) / (self._high - self._low)
        return self._start + min(1.0, max(0.0, share)) * (self._end - self._start)

    def ticks(self) -> tuple[Tick, ...]:
        """Return ticks at round numbers, with enough space between them for their labels."""
        return tuple(Tick(self.place(number), number_text(number)) for number in self._round_numbers())

    def _round_numbers(self) -> list[float]:
        if not self.log:
            step = _round_step((self._high - self._low) / 6)
            first = math.ceil(self._low / step)
            return [step * count for count in range(first, math.floor(self._high / step) + 1)]
        exponents = range(math.floor(self._low), math.ceil(self._high) + 1)
        digits: tuple[int, ...] = (1,) if self._high - self._low > 2.5 else (1, 2, 5)
        numbers = [digit * 10.0**exponent for exponent in exponents for digit in digits]
        return [number for number in numbers if self._low - 1e-9 <= math.log10(number) <= self._high + 1e-9]


def number_text(number: float) -> str:
    """Return a tick's label: a plain number, or a power of ten below 0.001."""
    if number and abs(number) < 0.001:
        exponent = math.floor(math.log10(abs(number)) + 1e-9)
        digit = round(number / 10.0**exponent)
        power = "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return power if digit == 1 else f"{digit}·{power}"
    return f"{number:.6g}"


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step)
