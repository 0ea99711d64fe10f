"""The task `conclude`, the last of a run. It fails, and so the run, if the run did not end as its recipe demands.

It also frees the disk of the rows of the source, which all evaluations of the run shared on this host. If the run comes
so far, `register` has done it. On other hosts the worker cache removes them when it needs the room.
"""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.errors import ReleaseFailed, listed
from tasks.model import Model
from tasks.release.current import read_current
from tasks.release.record import Release
from tasks.release.table import release_table
from tasks.release.withheld import say_withheld, withheld


class ConcludeParameters(Model):
    """The run so far.

    stopped: the first step that did not finish, with its message; None where all finished.
    dry_run: whether the run was only asked for a plan.
    """

    stopped: str | None = None
    dry_run: bool = False


def conclude(parameters: ConcludeParameters, context: TaskContext) -> Mapping[str, Any]:
    """Log the release's table, and one line that says how the run ended.

    Raises ReleaseFailed where a step did not finish, where no release was recorded, where nothing passed, where a
    required target did not pass, or where a target that was expected to be blocked was not blocked.
    """
    if "reference" in context.inputs:
        context.drop_workspace("reference")
    if "release" in context.inputs:
        path = context.materialize("release") / "release.json"
        release = Release.read_file(path, f"release.json of {context.inputs['release'].key}")
        context.progress("The release:\n" + release_table(release).rstrip())
        if kept_back := withheld(read_current(context.store, release.repository), release):
            context.progress(say_withheld(kept_back))
    if parameters.stopped:
        raise ReleaseFailed(f"The release stopped at {parameters.stopped}")
    if parameters.dry_run:
        return _told("dry run: nothing was made; the plan is in the log of preflight", context)
    if "release" not in context.inputs:
        raise ReleaseFailed("No release was recorded; see the log of register.")
    if release.shortcomings:
        raise ReleaseFailed(listed(release.shortcomings))
    if not release.passed:
        raise ReleaseFailed("No target passed, so nothing was released; the report gives the reason for each target.")
    passed, all_targets = len(release.passed), len(release.targets)
    new = sum(target.new for target in release.targets)
    conclusion = f"{passed} of {all_targets} targets passed, {new} new versions"
    if kept_back:
        conclusion += f", {len(kept_back)} not promoted because of a roll-back"
    return _told(conclusion, context) | {"new_versions": new}


def _told(conclusion: str, context: TaskContext) -> dict[str, Any]:
    """Return the line as a fact, and write it into the log, where people look for it."""
    context.progress(conclusion)
    return {"conclusion": conclusion}
