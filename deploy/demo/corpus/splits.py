"""Decides which split owns a pair: two operands, or two facts that follow each other.

If splits differed only in lines of the same sentences, an evaluation would measure memory. So a split owns
*combinations*, by the rule in this module, and *phrasings*, by their place in `phrasings/*.toml` or their checksum. A
document uses only combinations and phrasings of one split.
"""

from enum import StrEnum


class Split(StrEnum):
    """One of the three texts; the value is the name used in files."""

    TRAINING = "training"
    CALIBRATION = "calibration"
    EVALUATION = "evaluation"


def split_of(first: int, second: int) -> Split:
    """Give the split that owns the ordered pair: one in seven is for evaluation, one in seven for calibration.

    Seven is prime and divides neither factor, so that each number meets all splits, and so does each sum of two
    (with eight, only even sums would be evaluated).
    """
    match (3 * first + 5 * second) % 7:
        case 0:
            return Split.EVALUATION
        case 1:
            return Split.CALIBRATION
        case _:
            return Split.TRAINING
