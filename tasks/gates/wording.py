"""Writes a measured number for people: label, unit, and no more digits than its uncertainty allows."""

import math
from collections.abc import Iterable

from tasks.evaluation.metrics import METRICS, PARITY_METRICS
from tasks.gates.verdict import Rule

SIGNIFICANT = 3
"""Digits of a number without a standard error."""

TINY = 1e-4
"""Below this a number is said with a power of ten, for nobody counts zeros."""


def say(metric: str, value: float, standard_error: float | None = None, beside: float | None = None) -> str:
    """Return `0.059 ± 0.002`-like text with the metric's unit.

    The standard error has one digit, two where it begins with 1, and the value ends at the same place. `beside` is a
    bound that the text must not round into: digits are added until the two read differently, where they do differ.
    """
    chosen = METRICS[metric]
    shown = value * chosen.factor
    error = standard_error * chosen.factor if standard_error else None
    if 0 < abs(shown) < TINY or (shown == 0 and error and error < TINY):
        text = _scientific(shown) if shown else "0"
        return f"{text} ± {_scientific(error)}{chosen.unit}" if error else f"{text}{chosen.unit}"
    decimals = _error_decimals(error) if error else _decimals(shown, SIGNIFICANT)
    decimals = max(decimals, _decimals(shown, chosen.digits))
    if beside is not None and beside != value:
        while f"{shown:.{decimals}f}" == f"{beside * chosen.factor:.{decimals}f}" and decimals < 12:
            decimals += 1
    text = f"{shown:.{decimals}f}"
    return f"{text} ± {error:.{decimals}f}{chosen.unit}" if error else f"{text}{chosen.unit}"


def say_value(metric: str, value: float, standard_error: float | None = None) -> str:
    """Return the number alone, in the metric's unit, with no more digits than its uncertainty allows."""
    chosen = METRICS[metric]
    return say(metric, value, standard_error).split(" ± ")[0].removesuffix(chosen.unit)


def say_error(metric: str, value: float, standard_error: float | None) -> str:
    """Return the uncertainty alone, as `± 0.002`, or nothing where there is none."""
    chosen = METRICS[metric]
    _, _, error = say(metric, value, standard_error).partition(" ± ")
    return f"± {error.removesuffix(chosen.unit)}" if error else ""


def say_bound(metric: str, bound: float) -> str:
    """Return a recipe's bound as it was written, in the metric's unit."""
    chosen = METRICS[metric]
    return f"{bound * chosen.factor:.12g}{chosen.unit}"


def say_rule(rule: Rule) -> str:
    """Return a gate's bound, as `≤ 0.05`."""
    if rule.maximum is not None:
        return f"≤ {say_bound(rule.metric, rule.maximum)}"
    return f"≥ {say_bound(rule.metric, rule.minimum or 0.0)}"


def say_gates(rules: Iterable[Rule]) -> str:
    """Return gates in one line; parities that must be whole are only counted."""
    said, whole = [], 0
    for rule in rules:
        if rule.metric in PARITY_METRICS and rule.minimum == 1:
            whole += 1
        else:
            said.append(f"{METRICS[rule.metric].label} {say_rule(rule)}")
    return "; ".join([*said, *([f"{whole} parities ≥ 100%"] if whole else [])])


def _scientific(value: float) -> str:
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"


def _error_decimals(error: float) -> int:
    exponent = math.floor(math.log10(error))
    leading = error / 10.0**exponent
    return -exponent + (1 if leading < 1.95 else 0)


def _decimals(value: float, digits: int) -> int:
    """Return the decimals that show so many significant digits; a whole number needs none."""
    if value == round(value):
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))
