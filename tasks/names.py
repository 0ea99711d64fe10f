"""The forms of names (the Hub's repositories and commits), and the nearest known name for a message."""

import re
import reprlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator

from tasks.hub_name import is_repository


def _repository(name: str) -> str:
    if not is_repository(name):
        raise ValueError(f"{name!r} is not a name that the Hub takes; write it as owner/name, as the Hub's page does")
    return name


Repository = Annotated[str, AfterValidator(_repository)]
"""A repository of the Hub: `owner/name`."""


def text_like(pattern: str, what: str) -> AfterValidator:
    """Return a validator that refuses texts which the pattern does not match; `what` says in words what it matches."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{reprlib.repr(text)} is not {what}")
        return text

    return AfterValidator(check)


Commit = Annotated[str, text_like(r"[0-9a-f]{40}", "a full commit: 40 hexadecimal digits in lower case")]
"""A full git commit, in lower-case hexadecimal."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return text such as ` (did you mean 'x'?)` with the nearest known name, or a list of all known names."""
    choices = list(known)
    near = get_close_matches(name, choices, n=1)
    return f" (did you mean {near[0]!r}?)" if near else f" (known: {', '.join(choices)})"
