"""Finds what a tokenizer puts around a text: the tokens that open it, and those that end it."""

from collections.abc import Sequence

Ids = tuple[int, ...]


def around(bare: Sequence[int], opened: Sequence[int]) -> tuple[Ids, Ids]:
    """Return what stands before and after the ids of a bare text in the ids of the opened one."""
    length = len(bare)
    for start in range(len(opened) - length + 1):
        if list(opened[start : start + length]) == list(bare):
            return tuple(opened[:start]), tuple(opened[start + length :])
    return (), ()
