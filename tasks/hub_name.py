"""The names that the Hub takes for repositories.

It imports the standard library only, because the mirror of the Hub runs in an environment without pydantic.
"""

import re

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
REPOSITORY_PATTERN = rf"^(?!.*(?:--|\.\.|\.git$)){_PART}/{_PART}$(?!\n)"
"""The names that the Hub takes, for Python and for JavaScript. Python's `$` alone would let a line end follow."""


def is_repository(name: str) -> bool:
    """Return whether a repository of the Hub can have this name."""
    return re.search(REPOSITORY_PATTERN, name) is not None
