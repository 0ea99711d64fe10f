"""A result holds while everything that it was made from is still what the run has."""

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from operators.results import Results, maybe_pulled, pulled
from tests.operators.airflow_context import TaskInstance, context


def told(artifact: str | None, **made_from: str | None) -> dict[str, Any]:
    return {"artifact": artifact, "facts": {}, "made_from": made_from}


RUN = {
    "fetch": told("snapshot"),
    "convert": told("file", fetch="snapshot"),
    "evaluate": told("numbers", convert="file", control=None),
    "gate": told("verdict", evaluate="numbers", convert="file"),
}


def results(**changed: dict[str, Any] | None) -> Results:
    return Results(context({task: result for task, result in {**RUN, **changed}.items() if result}))


def test_what_a_run_made_in_one_go_holds() -> None:
    found = results()
    assert [found.artifact(task) for task in RUN] == ["snapshot", "file", "numbers", "verdict"]
    assert not any(map(found.outdated, RUN))
    assert found.holding("gate") == RUN["gate"]


def test_a_task_that_told_nothing_has_no_result_and_is_not_outdated() -> None:
    found = results()
    assert (found.holding("report"), found.artifact("report"), found.outdated("report")) == (None, None, None)


@pytest.mark.parametrize("convert", [None, told("another file", fetch="snapshot")], ids=["gone", "replaced"])
def test_what_was_made_from_a_result_that_is_gone_or_replaced_no_longer_holds(convert: dict[str, Any] | None) -> None:
    found = results(convert=convert)
    assert found.holding("gate") is None and found.artifact("evaluate") is None and found.artifact("fetch")
    assert found.outdated("gate") == (
        "The result of evaluate was made from an earlier result of convert; clear convert and what follows it."
    ), "the first cause"


def test_the_same_artifact_made_again_changes_nothing() -> None:
    again = {**told("file", fetch="snapshot"), "reused": True}
    assert results(convert=again).artifact("gate") == "verdict"


def test_an_input_that_came_later_counts() -> None:
    assert results(control=told("control")).outdated("evaluate")


def test_a_result_without_the_field_holds() -> None:
    """An earlier version of this code wrote it, before the run was interrupted for the update."""
    assert results(gate={"artifact": "verdict", "facts": {}}).artifact("gate") == "verdict"


def test_airflow_is_asked_once_for_each_task() -> None:
    class Counting(TaskInstance):
        asked: list[str] = []

        def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
            self.asked.append(task_ids)
            return super().xcom_pull(task_ids, key)

    found = Results({"ti": Counting(RUN)})
    for task in (*RUN, *RUN):
        assert found.artifact(task) and not found.outdated(task)
    assert sorted(Counting.asked) == sorted([*RUN, "control"])


def test_a_task_that_left_no_result_is_named() -> None:
    with pytest.raises(AirflowFailException, match="The task report left no result; clear it and what follows it"):
        pulled(context(RUN), "report")
    assert maybe_pulled(context({"report": "text"}), "report") is None
