"""What engines raise becomes an error of ours with their words."""

import pytest

from tasks.engines.failures import engine_at_work
from tasks.errors import Corrupt, Unsupported


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (RuntimeError("Gather: index 9 of 5."), Corrupt, "Gather: index 9 of 5"),
        (KeyError(), Corrupt, "KeyError"),
        (RuntimeError("Failed to allocate 12 GB"), MemoryError, "Failed to allocate 12 GB"),
        (RuntimeError("unable to allocate CPU buffer"), MemoryError, "unable to allocate CPU buffer"),
        (MemoryError("no more"), MemoryError, "no more"),
        (Unsupported("not here"), Unsupported, "not here"),
        (ValueError("too long"), ValueError, "too long"),
    ],
)
def test_an_error_of_an_engine_has_its_words(error: Exception, raised: type[Exception], words: str) -> None:
    with pytest.raises(raised) as found, engine_at_work(Corrupt, ValueError):
        raise error
    assert type(found.value) is raised and str(found.value) == words


def test_types_that_are_not_named_are_failures() -> None:
    with pytest.raises(Corrupt, match="^too long$"), engine_at_work(Corrupt):
        raise ValueError("too long")
