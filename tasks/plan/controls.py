"""Finds the control of a calibrated target: the same scheme without calibration.

The graph of a DAG and the plan of a release both use this function, so they always agree.
"""

from collections.abc import Iterable

from tasks.formats.base import Target
from tasks.formats.registry import load_format


def control_of(target: Target, targets: Iterable[Target]) -> Target | None:
    """Return the control of a target, or None if it has none.

    targets: of the recipe. If one of them is made in the same way, it is the control, under its own name: so the two
        have one key, and the artifact is made once.
    """
    control = load_format(target.format).control(target)
    if control is None:
        return None
    twins = (other.converted() for other in targets)
    return next((twin for twin in twins if twin.model_copy(update={"name": control.name}) == control), control)
