"""Decides whether a generated text counts as the right answer. Source and artifacts are judged by the same rule."""

from tasks.engines.text_model import INCOMPLETE


def is_answer(text: str, answer: str) -> bool:
    """Return whether `text` begins with `answer`, without white space around it, and the word or number ends there."""
    said, right = text.strip(), answer.strip()
    if not right or not said.startswith(right):
        return False
    rest = said[len(right) :]
    return not rest or not (right[-1].isalnum() and rest[0].isalnum())


def is_decided(text: str, answer: str) -> bool:
    """Return whether `is_answer` stays the same for every text that begins with `text`.

    A character of which some bytes are still to come decides nothing.
    """
    said, right = text.rstrip(INCOMPLETE).lstrip(), answer.strip()
    if not right or len(said) > len(right):
        return True
    return not right.startswith(said)
