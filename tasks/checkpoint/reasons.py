"""What foreign files make a library say, fit to be a part of our own sentence."""

REASON_CHARACTERS = 300


def reason(text: str) -> str:
    """Return what a foreign file made somebody say as a short, printable part of a sentence."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return words if len(words) <= REASON_CHARACTERS else words[:REASON_CHARACTERS] + "..."
