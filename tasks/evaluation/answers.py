"""Decides whether a generated text counts as the right answer. Source and artifacts are judged by the same rule."""


def is_answer(text: str, answer: str) -> bool:
    """Return whether `text` begins with `answer`, without white space around it, and the word or number ends there."""
    said, right = text.strip(), answer.strip()
    if not right or not said.startswith(right):
        return False
    rest = said[len(right) :]
    return not rest or not (right[-1].isalnum() and rest[0].isalnum())
