"""Shortens a library's error message, so that it can be a part of one of ours."""

REASON_CHARACTERS = 300


def reason(text: str) -> str:
    """Return a message, which may quote a model's files, as one printable line of at most REASON_CHARACTERS."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return words if len(words) <= REASON_CHARACTERS else words[:REASON_CHARACTERS] + "..."
