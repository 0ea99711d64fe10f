"""The one error of the set-up."""


class SetupError(Exception):
    """Raised when a step of the set-up cannot be done; the message is one sentence that ends with what mends it."""
