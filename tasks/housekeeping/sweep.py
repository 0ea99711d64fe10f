"""The task `sweep`: recover the attempts of all keys.

A writer recovers only its own key before it begins. What a killed writer left of a key that no run asks for again would
stay for ever; this task finds it. The DAG `housekeeping` runs it daily.
"""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.model import Model
from tasks.store.recovery import recover_all

MESSAGES = {
    "removed": "Removed the incomplete attempt {}: its writer is dead.",
    "published": "Published the complete attempt {}: its writer died before it could.",
    "too_new": "Left the attempt {} as it is: a newer version of this code wrote it; update this checkout.",
    "uploads": "Aborted the upload of {}: its writer is dead.",
}
"""What is reported of each attempt or upload, by the fields of `tasks.store.recovery.Recovered`."""


class SweepParameters(Model):
    """The task has no parameters."""


def sweep(_: SweepParameters, context: TaskContext) -> Mapping[str, Any]:
    """Recover all keys; the facts are counts: attempts `removed`, `published` and `too_new`, and `uploads` aborted."""
    recovered = recover_all(context.store)
    counts = {}
    for kind, message in MESSAGES.items():
        names = getattr(recovered, kind)
        counts[kind] = len(names)
        for name in names:
            context.progress(message.format(name))
    told = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
    context.progress(f"{context.store.url}: {told}.")
    return counts
