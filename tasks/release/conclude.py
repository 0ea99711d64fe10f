"""Conclude: say whether the run ended as its recipe says it must, so that the run's colour tells the truth."""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.errors import ReleaseFailed
from tasks.model import Model
from tasks.release.record import Release
from tasks.release.table import release_table


class ConcludeParameters(Model):
    """stopped: the first step that did not finish and what it said, if any. dry_run: a plan was all that was asked."""

    stopped: str | None = None
    dry_run: bool = False


def conclude(parameters: ConcludeParameters, context: TaskContext) -> Mapping[str, Any]:
    """Tell the release's table and its end in one line.

    Raises ReleaseFailed where a step stopped, no release was recorded, nothing passed, a target that is required did
    not pass, or one that was expected to be blocked was not.
    """
    if "release" in context.inputs:
        path = context.materialize("release") / "release.json"
        release = Release.read_file(path, f"release.json of {context.inputs['release'].key}")
        context.progress("The release:\n" + release_table(release).rstrip())
    if parameters.stopped:
        raise ReleaseFailed(f"The release stopped at {parameters.stopped}")
    if parameters.dry_run:
        return _told("dry run: the plan is in the log of preflight; nothing was made", context)
    if "release" not in context.inputs:
        raise ReleaseFailed("No release was recorded; see the log of register.")
    if release.shortcomings:
        raise ReleaseFailed("; ".join(release.shortcomings))
    if not release.passed:
        raise ReleaseFailed("No target passed, so nothing was released; the report says why for each.")
    passed, all_targets = len(release.passed), len(release.targets)
    new = sum(target.new for target in release.targets)
    return _told(f"{passed} of {all_targets} targets passed, {new} new versions", context) | {"new_versions": new}


def _told(conclusion: str, context: TaskContext) -> dict[str, Any]:
    """Say it in the log as well, where a person looks for it."""
    context.progress(conclusion)
    return {"conclusion": conclusion}
