"""Real processes, killed at every step of writing an artifact, into both stores; then the retry."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contract import Result, Spec
from tasks.settings import REPOSITORY
from tasks.store.artifacts import find_artifact
from tasks.store.base import Store
from tasks.store.recovery import recover_all

SECONDS = 60


def start(home: Path, *stop: str, task: str = "probe", force: bool = False) -> "subprocess.Popen[str]":
    """Start a writer with this state folder; `stop` is a point and an action."""
    parameters = {} if task == "sweep" else {"do": "large", "log": str(home.parent / "log")}
    spec = Spec(task=task, parameters=parameters, force=force)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tasks.writer", spec.to_json(), *stop],
        cwd=REPOSITORY,
        env={**os.environ, "HALLMARK_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def killed(home: Path, point: str, task: str = "probe") -> None:
    assert start(home, point, "kill", task=task).wait(SECONDS) == -signal.SIGKILL


def finish(writer: "subprocess.Popen[str]") -> Result:
    told, _ = writer.communicate("\n", timeout=SECONDS)
    assert writer.returncode == 0
    return Result.from_json(told[told.index("{") :])


def waiting(home: Path, point: str, task: str = "probe") -> "subprocess.Popen[str]":
    writer = start(home, point, "wait", task=task)
    assert writer.stdout and writer.stdout.readline() == f"{point}\n"
    return writer


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "log").read_text().splitlines())


def names(store: Store) -> set[str]:
    return {found.name for found in store.list("")}


def assert_one_whole_artifact(store: Store, key: str | None, tmp_path: Path) -> None:
    manifest = find_artifact(store, str(key))
    assert manifest is not None
    own = {manifest.prefix + entry.path for entry in manifest.files}
    assert names(store) == own | {f"artifacts/{key}.json", f"artifacts/{key}/{manifest.attempt}.json"}
    assert list(store.unfinished("")) == []
    for entry in manifest.files:
        found = store.get_file(manifest.prefix + entry.path, tmp_path / "back")
        assert (found.size, found.sha256) == (entry.size, entry.sha256)


@pytest.mark.parametrize("point", ["part", "files"])
def test_the_retry_removes_what_was_half_sent_and_sends_the_kept_output(
    shared: Store, tmp_path: Path, point: str
) -> None:
    killed(tmp_path / "home", point)
    assert not any(name.endswith(".json") for name in names(shared)), "nothing names what is not whole"
    left = [upload.name for upload in shared.unfinished("")] if point == "part" else sorted(names(shared))
    assert left[0].endswith("/large")
    again = finish(start(tmp_path / "home"))
    assert not again.reused and runs(tmp_path) == 1, "the finished output was kept on this host"
    assert_one_whole_artifact(shared, again.artifact, tmp_path)


@pytest.mark.parametrize("point", ["whole", "published"])
def test_what_was_whole_is_not_made_again(shared: Store, tmp_path: Path, point: str) -> None:
    killed(tmp_path / "home", point)
    again = finish(start(tmp_path / "home"))
    assert again.reused and runs(tmp_path) == 1
    assert_one_whole_artifact(shared, again.artifact, tmp_path)


def test_two_hosts_with_one_key_do_not_mix_and_the_slower_goes(shared: Store, tmp_path: Path) -> None:
    slow = waiting(tmp_path / "there", "part")
    (theirs,) = [upload.name for upload in shared.unfinished("")]
    killed(tmp_path / "here", "part")
    fast = finish(start(tmp_path / "here"))
    assert not fast.reused
    assert [upload.name for upload in shared.unfinished("")] == [theirs], "another host's living attempt stays"
    late = finish(slow)
    assert late.reused and late.artifact == fast.artifact
    assert_one_whole_artifact(shared, fast.artifact, tmp_path)


def test_two_hosts_that_end_at_once_are_both_whole(shared: Store, tmp_path: Path) -> None:
    slow = waiting(tmp_path / "there", "files")
    fast = finish(start(tmp_path / "here"))
    late = finish(slow)
    assert not fast.reused and not late.reused and fast.artifact == late.artifact
    assert late.artifact and find_artifact(shared, late.artifact)
    own = [name for name in names(shared) if name.count("/") == 2]
    assert len(own) == 2, "the first may be in use already, so it stays"
    assert recover_all(shared).removed == []


def test_a_forced_run_leaves_what_a_version_may_point_at(
    shared: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    first = finish(start(home))
    before = names(shared)
    assert start(home, "part", "kill", force=True).wait(SECONDS) == -signal.SIGKILL
    again = finish(start(home, force=True))
    assert again.artifact == first.artifact and not again.reused
    assert before < names(shared) and len(names(shared)) == 2 * len(before) - 1
    monkeypatch.setenv("HALLMARK_HOME", str(home))
    recovered = recover_all(shared)
    assert (recovered.removed, recovered.published, list(shared.unfinished(""))) == ([], [], [])


def test_what_has_no_key_is_found_by_the_task_that_sweeps_all(shared: Store, tmp_path: Path) -> None:
    home = tmp_path / "home"
    killed(home, "part", task="unkeyed")
    killed(home, "files", task="unkeyed")
    living = waiting(home, "part", task="unkeyed")
    growing = {upload.name for upload in shared.unfinished("")}
    assert len(growing) == 2 and len(names(shared)) == 2
    # As a person runs it by hand, and the DAG `housekeeping` once a day.
    swept = finish(start(home, task="sweep"))
    assert swept.facts == {"removed": 2, "published": 0, "too_new": 0, "uploads": 0} and swept.artifact is None
    assert len(list(shared.unfinished(""))) == 1 and names(shared) == set()
    result = finish(living)
    assert_one_whole_artifact(shared, result.artifact, tmp_path)
