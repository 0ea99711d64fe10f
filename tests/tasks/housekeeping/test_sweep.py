"""The sweep reports each attempt that it recovered, and counts them."""

from pathlib import Path

import pytest

from tasks.housekeeping import sweep as module
from tasks.housekeeping.sweep import SweepParameters, sweep
from tasks.store.local import LocalStore
from tasks.store.recovery import Recovered
from tests.fixtures.context import make_context


def test_every_kind_of_recovery_is_reported_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Recovered(removed=["k/one", "k/two"], published=["k/three"], too_new=["k/four"], uploads=["k/five"])
    monkeypatch.setattr(module, "recover_all", lambda store: found)
    context = make_context(tmp_path, store=LocalStore(tmp_path / "store"))
    assert sweep(SweepParameters(), context) == {"removed": 2, "published": 1, "too_new": 1, "uploads": 1}
    *each, total = context.messages
    assert [message.split("attempt ")[-1].split(" ")[0].strip(":.") for message in each[:4]] == [
        "k/one", "k/two", "k/three", "k/four",
    ]  # fmt: skip
    assert each[4] == "Aborted the upload of k/five: its writer is dead."
    assert total.endswith("store: 2 removed, 1 published, 1 too new, 1 uploads.")


def test_a_clean_store_has_nothing_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    context = make_context(tmp_path, store=LocalStore(tmp_path / "store"))
    assert set(sweep(SweepParameters(), context).values()) == {0}
    assert len(context.messages) == 1
