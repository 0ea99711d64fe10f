"""An outage of the store is waited out, and nothing else is."""

from collections.abc import Callable

import pytest

from tasks import retry
from tasks.errors import AccessDenied, DiskFull, NotFound, StoreUnavailable, Unsupported
from tasks.store.outage import PAUSES, retry_store


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; they cost nothing."""
    pauses: list[float] = []
    monkeypatch.setattr(retry, "sleep", pauses.append)
    return pauses


def failing(errors: list[Exception], result: str = "done") -> Callable[[], str]:
    """What fails with each of the errors in turn, and then returns."""

    def do() -> str:
        if errors:
            raise errors.pop(0)
        return result

    return do


def test_what_failed_is_done_again_and_each_wait_is_reported(waited: list[float]) -> None:
    told: list[str] = []
    away = [StoreUnavailable(f"The store failed {time}.") for time in ("once", "twice")]
    assert retry_store(failing([*away]), told.append) == "done"
    assert told == ["The store failed once. Trying again in 5 s.", "The store failed twice. Trying again in 10 s."]
    assert waited == [5, 10]


def test_what_is_done_again_may_be_another(waited: list[float]) -> None:
    away = StoreUnavailable("The store failed.")
    assert retry_store(failing([away]), print, failing([away], "again")) == "again"
    assert retry_store(failing([]), print, failing([], "again")) == "done"


def test_it_gives_up_in_the_end(waited: list[float]) -> None:
    away: list[Exception] = [StoreUnavailable(f"{number}") for number in range(100)]
    with pytest.raises(StoreUnavailable, match=f"^{len(PAUSES)}$"):
        retry_store(failing(away), print)
    assert waited == [*PAUSES] and 180 <= sum(PAUSES) <= 600, "some minutes"


@pytest.mark.parametrize("kind", [AccessDenied, DiskFull, NotFound, Unsupported, OSError])
def test_what_stays_is_not_waited_for(waited: list[float], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        retry_store(failing([kind("planted")]), print)
    assert waited == []
