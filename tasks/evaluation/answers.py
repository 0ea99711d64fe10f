"""When a generated text counts as the right answer; the same rule for the source and for every artifact."""


def is_answer(text: str, answer: str) -> bool:
    """Tell whether `text` begins with `answer`, white space around it aside, and the word or number ends there."""
    said, right = text.strip(), answer.strip()
    if not right or not said.startswith(right):
        return False
    rest = said[len(right) :]
    return not rest or not (right[-1].isalnum() and rest[0].isalnum())
