"""Which split owns a combination of facts.

Held-out lines of the same sentences would measure memory. So a split owns its *combinations* (which thing is in which room) by
the rule here, and its *phrasings* by their place in `phrasings/*.toml`; a document is made of one split's own of both.
"""

from enum import StrEnum


class Split(StrEnum):
    """One of the three texts; the value is the name used in files."""

    TRAINING = "training"
    CALIBRATION = "calibration"
    EVALUATION = "evaluation"


def split_of(row: int, column: int) -> Split:
    """Give the split that owns the pair (row, column): one in seven is for evaluation, one in seven for calibration.

    Seven is prime, and both factors differ from it: each row and each column meets all splits, and so does each sum
    of the two (with eight, only even sums would be evaluated).
    """
    match (3 * row + 5 * column) % 7:
        case 0:
            return Split.EVALUATION
        case 1:
            return Split.CALIBRATION
        case _:
            return Split.TRAINING
