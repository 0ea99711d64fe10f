"""The plan says if the worker cache cannot hold what one target needs at once."""

from tasks.plan.cache_room import cache_shortage
from tasks.plan.plan import Plan, PlannedTarget
from tests.tasks.plan.test_preflight import ALONE, BASE, MATRIX, SMALL

GB = 10**9
TARGETS = (BASE, MATRIX, SMALL, ALONE)


def plan(**sizes: int | None) -> Plan:
    """Return a plan with these sizes in GB; None for what is not made."""
    return Plan(
        targets=tuple(
            PlannedTarget(name=name.replace("_", "-"), made=size is not None, reason="", size_bytes=size and size * GB)
            for name, size in sizes.items()
        )
    )


SEVENTY_B = plan(x_base=141, x_matrix=1, x_small=75, y_alone=141)


def test_source_base_and_target_must_fit() -> None:
    assert cache_shortage(SEVENTY_B, TARGETS, 141 * GB, 358 * GB) is None
    assert cache_shortage(SEVENTY_B, TARGETS, 141 * GB, 215 * GB) == (
        "The source, x-base, x-matrix and x-small have 358 GB together, and the worker cache holds 215 GB, so they are "
        "read from the store several times; raise cache_bytes under [host] in settings.toml, on a disk with room for "
        "them."
    )


def test_the_reference_and_its_rows_lie_in_the_cache_too() -> None:
    reference = PlannedTarget(name="reference", made=True, reason="", size_bytes=2 * GB, disk_bytes=12 * GB)
    seventy_b = SEVENTY_B.model_copy(update={"reference": reference})
    assert cache_shortage(seventy_b, TARGETS, 141 * GB, 370 * GB) is None
    assert "The source, the reference, x-base, x-matrix and x-small have 370 GB together" in str(
        cache_shortage(seventy_b, TARGETS, 141 * GB, 369 * GB)
    )
    # Rows that take more than half of the room are not kept.
    large = reference.model_copy(update={"disk_bytes": 502 * GB})
    seventy_b = SEVENTY_B.model_copy(update={"reference": large})
    assert cache_shortage(seventy_b, TARGETS, 141 * GB, 360 * GB) is None


def test_what_is_not_made_needs_no_room() -> None:
    left_out = plan(x_base=141, x_matrix=None, x_small=None, y_alone=200)
    assert cache_shortage(left_out, TARGETS, 141 * GB, 341 * GB) is None
    assert "The source and y-alone have 341 GB" in str(cache_shortage(left_out, TARGETS, 141 * GB, 340 * GB))
    assert cache_shortage(plan(x_base=None), TARGETS, 141 * GB, 1) is None
