"""The base of the set-up's errors."""


class SetupError(Exception):
    """Raised when a step of the set-up fails. The message is one sentence that ends with the fix."""
