"""The task that plans a release. Its result is never reused, because a host's free disk and memory change."""

from tasks.contract import TaskDefinition

PREFLIGHT = TaskDefinition(
    name="preflight",
    function="tasks.plan.preflight:preflight",
    parameters="tasks.plan.parameters:PreflightParameters",
    runtime="control",
    keyed=False,
)
