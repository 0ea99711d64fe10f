"""Says if the worker cache is too small for a release: then files are read from the store again and again."""

from collections.abc import Sequence

from tasks.formats.base import Target
from tasks.plan.plan import Plan, PlannedTarget
from tasks.plan.reference import rows_bytes, rows_fit


def cache_shortage(plan: Plan, targets: Sequence[Target], weight_bytes: int, cache_bytes: int) -> str | None:
    """Return a sentence for the log if the cache cannot hold what belongs to one target at once; None if it can.

    That is the source, which its weights are compared with, the base that it is made from, the target itself, and the
    reference with the source's rows, if they find room. The next target needs all but the target again.

    targets: those of the plan, with their bases.
    weight_bytes: the size of the source.
    """
    sizes = {target.name: target.size_bytes or 0 for target in plan.made}
    together = {target.name: [*target.bases, target.name] for target in targets if target.name in sizes}
    shared = weight_bytes + _reference_bytes(plan.reference, cache_bytes)
    needs = {name: shared + sum(sizes.get(part, 0) for part in parts) for name, parts in together.items()}
    largest = max(needs, key=needs.__getitem__, default=None)
    if largest is None or needs[largest] <= cache_bytes:
        return None
    named = ", ".join(["The source", *(["the reference"] if plan.reference else []), *together[largest][:-1]])
    return (
        f"{named} and {largest} have {needs[largest] / 1e9:.0f} GB together, and the worker cache holds "
        f"{cache_bytes / 1e9:.0f} GB, so they are read from the store several times; raise cache_bytes under [host] in "
        "settings.toml, on a disk with room for them."
    )


def _reference_bytes(reference: PlannedTarget | None, cache_bytes: int) -> int:
    if reference is None:
        return 0
    rows = rows_bytes(reference)
    return (reference.size_bytes or 0) + (rows if rows_fit(rows, cache_bytes) else 0)
