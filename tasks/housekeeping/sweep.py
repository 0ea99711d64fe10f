"""Sweep the whole store: a retry sweeps its own key, this also finds what nobody tries again."""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.model import Model
from tasks.store.recovery import settle_all


class SweepParameters(Model):
    """There is nothing to choose."""


def sweep(_: SweepParameters, context: TaskContext) -> Mapping[str, Any]:
    """Remove what dead writers left; facts: how many attempts were `removed` or `published`, and `uploads` given up."""
    settled = settle_all(context.store)
    for name in settled.removed:
        context.progress(f"Removed the attempt {name}, whose writer is dead.")
    for name in settled.published:
        context.progress(f"Published the attempt {name}, which was whole when its writer died.")
    for name in settled.uploads:
        context.progress(f"Gave up the upload of {name}, whose writer is dead.")
    counts = {kind: len(getattr(settled, kind)) for kind in ("removed", "published", "uploads")}
    context.progress(f"{context.store.url}: {', '.join(f'{count} {kind}' for kind, count in counts.items())}.")
    return counts
