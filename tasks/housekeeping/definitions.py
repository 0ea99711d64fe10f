"""Definitions of the housekeeping tasks; read when a DAG is parsed."""

from tasks.contract import TaskDefinition

SWEEP = TaskDefinition(
    name="sweep",
    function="tasks.housekeeping.sweep:sweep",
    parameters="tasks.housekeeping.sweep:SweepParameters",
    runtime="control",
    keyed=False,
)
"""Inputs: none."""
