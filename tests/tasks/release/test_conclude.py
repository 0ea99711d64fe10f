"""The run's last word: what it says of a release that ended as demanded, and what it refuses to call success."""

from pathlib import Path

import pytest

from tasks.errors import ReleaseFailed
from tasks.release.conclude import ConcludeParameters, conclude
from tasks.release.record import Outcome, ReleasedTarget
from tasks.store.local import LocalStore
from tests.fixtures.context import FolderContext, make_context
from tests.tasks.release.sample import sample_release


def context_with(tmp_path: Path, *targets: ReleasedTarget) -> FolderContext:
    release = sample_release(LocalStore(tmp_path / "store")).model_copy(update={"targets": targets})
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "release.json").write_text(release.to_json())
    return make_context(tmp_path / "context", {"release": tmp_path / "release"})


def target(name: str, outcome: Outcome, *, required: bool = True, expect_blocked: bool = False) -> ReleasedTarget:
    return ReleasedTarget(
        target=name,
        format="gguf",
        outcome=outcome,
        reason="so it was",
        required=required,
        expect_blocked=expect_blocked,
    )


def test_a_release_that_ended_as_demanded(tmp_path: Path) -> None:
    context = context_with(tmp_path, target("gguf-f16", "passed"), target("gguf-q2_k", "blocked", expect_blocked=True))
    facts = conclude(ConcludeParameters(), context)
    assert facts == {"conclusion": "1 of 2 targets passed, 0 new versions", "new_versions": 0}
    assert "gguf-q2_k" in context.messages[0]
    assert context.messages[-1] == facts["conclusion"]


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        ([target("a", "passed"), target("b", "failed")], "b is required, but failed: so it was"),
        ([target("a", "passed", expect_blocked=True)], "a was expected to be blocked, but passed"),
        ([target("a", "blocked", required=False)], "No target passed"),
    ],
)
def test_a_release_that_did_not(tmp_path: Path, targets: list[ReleasedTarget], why: str) -> None:
    with pytest.raises(ReleaseFailed, match=why):
        conclude(ConcludeParameters(), context_with(tmp_path, *targets))


def test_a_run_that_stopped_says_where(tmp_path: Path) -> None:
    with pytest.raises(ReleaseFailed, match="stopped at pin: there is no such model"):
        conclude(ConcludeParameters(stopped="pin: there is no such model"), make_context(tmp_path / "1", {}))
    with pytest.raises(ReleaseFailed, match="No release was recorded"):
        conclude(ConcludeParameters(), make_context(tmp_path / "2", {}))


def test_a_dry_run_made_nothing_and_says_so(tmp_path: Path) -> None:
    context = make_context(tmp_path, {})
    assert "nothing was made" in conclude(ConcludeParameters(dry_run=True), context)["conclusion"]
    assert "the plan is in the log of preflight" in context.messages[-1]
