"""The run's colour tells the truth: it is red where the release is not what its recipe demands."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import LONGEST_MESSAGE, ReleaseFailed
from tasks.execution import ProcessContext
from tasks.release.conclude import ConcludeParameters, conclude
from tasks.release.current import Current, Mark, Names, write_current
from tasks.release.record import Release, ReleasedProof, ReleasedTarget
from tasks.store.cache import WorkerCache
from tasks.store.local import LocalStore
from tests.fixtures.context import FolderContext, make_context


def target(name: str, outcome: Any, **more: Any) -> ReleasedTarget:
    return ReleasedTarget(target=name, format="gguf", outcome=outcome, reason=f"why {name}", **more)


def release(*targets: ReleasedTarget) -> Release:
    return Release(
        release_id="run-1",
        repository="acme/tiny",
        commit="1" * 40,
        licence="mit",
        recipe="demo",
        created=datetime.now(UTC),
        targets=targets,
    )


def context(tmp_path: Path, record: Release | None) -> FolderContext:
    if record is None:
        return make_context(tmp_path / "work")
    folder = tmp_path / "release"
    folder.mkdir(parents=True)
    (folder / "release.json").write_text(record.to_json())
    return make_context(tmp_path / "work", {"release": folder}, store=LocalStore(tmp_path / "store"))


def test_a_release_as_demanded_is_a_success(tmp_path: Path) -> None:
    record = release(
        target("a", "passed", new=True),
        target("b", "passed"),
        target("c", "blocked", expect_blocked=True, required=False),
        target("d", "skipped", required=False),
        target("e", "failed", required=False),
        target("f", "unproven", required=False),
    )
    given = context(tmp_path, record)
    facts = conclude(ConcludeParameters(), given)
    assert facts == {"conclusion": "2 of 6 targets passed, 1 new versions", "new_versions": 1}
    assert any("why c" in message for message in given.messages)
    assert given.messages[-1] == facts["conclusion"], "people look for it in the log"


@pytest.mark.parametrize("other", [target("b", "passed"), target("b", "blocked")])
def test_the_log_says_what_is_not_promoted_because_of_a_roll_back(tmp_path: Path, other: ReleasedTarget) -> None:
    back = target("a", "passed", files_digest="a" * 64, registered_name="acme--tiny--a", version="2")
    given = context(tmp_path, record := release(back, other))
    mark = Mark(
        target="a", version="2", release_id="r2", recipe="demo", commit=record.commit, files_digest=back.files_digest
    )
    champion = mark.model_copy(update={"version": "1", "release_id": "r1", "files_digest": "b" * 64})
    names = {"acme--tiny--a": Names(champion=champion, rolled_back=(mark,))}
    write_current(given.store, Current(repository=record.repository, names=names))
    if other.outcome == "passed":
        said = conclude(ConcludeParameters(), given)["conclusion"]
        assert said == "2 of 2 targets passed, 0 new versions, 1 not promoted because of a roll-back"
    else:
        with pytest.raises(ReleaseFailed, match="^b is required"):
            conclude(ConcludeParameters(), given)
    assert given.messages[1].startswith("Not promoted: a, rolled back from release r2. ")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (target("b", "blocked"), "b is required, but blocked: why b"),
        (target("b", "failed"), "b is required, but failed: why b"),
        (target("b", "skipped"), "b is required, but skipped: why b"),
        (target("b", "unproven"), "b is required, but unproven: why b"),
        (target("b", "passed", expect_blocked=True), "b was expected to be blocked, but passed: why b"),
        (target("b", "failed", expect_blocked=True), "b was expected to be blocked, but failed: why b"),
    ],
    ids=lambda value: "" if isinstance(value, str) else f"{value.outcome} {value.expect_blocked}",
)
def test_what_is_not_as_demanded_fails_the_run(tmp_path: Path, wrong: ReleasedTarget, said: str) -> None:
    with pytest.raises(ReleaseFailed, match=f"^{said}$"):
        conclude(ConcludeParameters(), context(tmp_path, release(target("a", "passed"), wrong)))


def proof(outcome: Any, pool: str) -> ReleasedProof:
    return ReleasedProof(engine="toy 1", pool=pool, outcome=outcome, reason="why")


def test_what_should_be_blocked_may_be_unproven_but_may_pass_nowhere(tmp_path: Path) -> None:
    nowhere = target("b", "unproven", expect_blocked=True, proofs=(proof("unproven", "gpu"),))
    conclude(ConcludeParameters(), context(tmp_path, release(target("a", "passed"), nowhere)))
    proofs = (proof("passed", "cpu"), proof("unproven", "gpu"))
    somewhere = target("b", "unproven", expect_blocked=True, proofs=proofs)
    with pytest.raises(ReleaseFailed, match="^b was expected to be blocked, but passed in cpu, toy 1$"):
        conclude(ConcludeParameters(), context(tmp_path / "second", release(target("a", "passed"), somewhere)))


def test_nothing_passed_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(ReleaseFailed, match="No target passed"):
        conclude(ConcludeParameters(), context(tmp_path, release(target("a", "blocked", required=False))))


def test_a_step_that_stopped_is_reported_whatever_the_record_says(tmp_path: Path) -> None:
    with pytest.raises(ReleaseFailed, match="^The release stopped at promote: the server is away$"):
        conclude(
            ConcludeParameters(stopped="promote: the server is away"), context(tmp_path, release(target("a", "passed")))
        )


def test_without_a_record_there_was_no_release(tmp_path: Path) -> None:
    with pytest.raises(ReleaseFailed, match="No release was recorded"):
        conclude(ConcludeParameters(), context(tmp_path, None))


def test_a_dry_run_needs_no_release(tmp_path: Path) -> None:
    assert "nothing was made" in conclude(ConcludeParameters(dry_run=True), context(tmp_path, None))["conclusion"]


def test_targets_that_fell_for_one_reason_have_one_line(tmp_path: Path) -> None:
    """The base says `convert: ...`, and what is made from it says whose conversion failed."""
    why = "convert: the converter does not know the architecture; leave the target out"
    base = target("gguf-f16", "failed").model_copy(update={"reason": why})
    made = [target(name, "failed").model_copy(update={"reason": f"gguf-f16.{why}"}) for name in ("q8", "q4")]
    with pytest.raises(ReleaseFailed) as red:
        conclude(ConcludeParameters(), context(tmp_path, release(target("a", "passed"), base, *made)))
    assert str(red.value) == f"gguf-f16, q8 and q4 are required, but failed: gguf-f16.{why}"


def test_no_verdict_of_the_log_stands_on_another_targets_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A verdict of several gates is longer than the longest message."""
    long = {name: f"first of {name}; {'x' * 2 * LONGEST_MESSAGE}; last of {name}" for name in ("b", "c", "d")}
    blocked = [target(name, "blocked", required=False).model_copy(update={"reason": why}) for name, why in long.items()]
    given = context(tmp_path, release(target("a", "passed"), *blocked))
    store, cache = LocalStore(tmp_path / "store"), WorkerCache(tmp_path / "cache", 1)
    log = ProcessContext(given.inputs, tmp_path, tmp_path, 1, "", store, cache)
    log.materialize = given.materialize  # type: ignore[method-assign]
    conclude(ConcludeParameters(), log)
    lines = [line.split(" ", 1)[1] for line in capfd.readouterr().err.splitlines()]
    assert [line[:1] for line in lines[2:6]] == ["a", "b", "c", "d"]
    for name, line in zip("bcd", lines[3:6], strict=True):
        assert f"BLOCKED: first of {name};" in line and line.endswith(f"last of {name}")


def test_what_failed_names_each_target_with_the_beginning_of_its_reason(tmp_path: Path) -> None:
    why = {name: f"{name}'s own {'x' * LONGEST_MESSAGE}" for name in ("b", "c", "d")}
    wrong = [target(name, "blocked").model_copy(update={"reason": reason}) for name, reason in why.items()]
    with pytest.raises(ReleaseFailed) as red:
        conclude(ConcludeParameters(), context(tmp_path, release(target("a", "passed"), *wrong)))
    assert [part[:34] for part in str(red.value).split("; ")] == [
        f"{name} is required, but blocked: {name}'s own"[:34] for name in ("b", "c", "d")
    ]


def test_the_table_tells_a_shared_reason_once(tmp_path: Path) -> None:
    why = "it needs 12.00 GB of memory, but a host of the pool cpu has only 8.00 GB"
    skipped = [target(name, "skipped", required=False).model_copy(update={"reason": why}) for name in ("b", "c", "d")]
    given = context(tmp_path, release(target("a", "passed"), *skipped))
    conclude(ConcludeParameters(), given)
    table = given.messages[0]
    assert table.count(why) == 1 and f"skipped: {why}" in table
    assert table.count("skipped: same reason as b") == 2


@pytest.mark.parametrize("parameters", [ConcludeParameters(), ConcludeParameters(stopped="evaluate: no disk")])
def test_the_disk_of_the_shared_rows_is_freed_however_the_run_ends(
    tmp_path: Path, parameters: ConcludeParameters
) -> None:
    given = make_context(tmp_path / "work", {"reference": tmp_path})
    rows = given.workspace("reference") / "some.rows"
    rows.touch()
    with pytest.raises(ReleaseFailed):
        conclude(parameters, given)
    assert not rows.exists()
