"""Two promotions of one repository exclude each other; other repositories do not wait."""

import threading
from pathlib import Path

import pytest

from tasks.release.champions_lock import champions_lock


@pytest.mark.parametrize(("other", "waits"), [("acme/model", True), ("acme/another", False)])
def test_only_the_same_repository_waits(
    other: str, waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    entered = threading.Event()

    def enter() -> None:
        with champions_lock(other):
            entered.set()

    second = threading.Thread(target=enter)
    with champions_lock("acme/model"):
        second.start()
        assert entered.wait(1.0) is not waits
    second.join(10)
    assert entered.is_set()
