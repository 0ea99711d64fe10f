"""The definitions of the tasks that work on a whole release. Airflow reads them when it parses a DAG.

None of these tasks has a reusable key. Each task looks at what exists and does what is missing, so it can run again at
any time.
"""

from tasks.contract import TaskDefinition

PREFLIGHT = TaskDefinition(
    name="preflight",
    function="tasks.release.preflight:preflight",
    parameters="tasks.plan.parameters:PreflightParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""Inputs: `analysis`. Its result is never reused, because a host's free disk and memory change."""

REGISTER = TaskDefinition(
    name="register",
    function="tasks.release.register:register",
    parameters="tasks.release.register:RegisterParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""Inputs, where they exist: `artifact:<target>`; and for each proof `verdict:<name>`, `evaluation:<name>` and
`benchmark:<name>`, see Target.proof_names.
"""

REPORT = TaskDefinition(
    name="report",
    function="tasks.release.report:report",
    parameters="tasks.release.report:ReportParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""Inputs: `release`, the output of `register`. It leads to everything else in the store."""

PROMOTE = TaskDefinition(
    name="promote",
    function="tasks.release.promote:promote",
    parameters="tasks.release.promote:PromoteParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""Inputs: `release`, the output of `register`."""

ROLL_BACK = TaskDefinition(
    name="roll_back",
    function="tasks.release.roll_back:roll_back",
    parameters="tasks.release.roll_back:RollBackParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""No inputs: the parameters name the release to roll back."""

CONCLUDE = TaskDefinition(
    name="conclude",
    function="tasks.release.conclude:conclude",
    parameters="tasks.release.conclude:ConcludeParameters",
    runtime="control",
    keyed=False,
)
"""Inputs: `release`, if `register` made one; `reference`, if there is one."""
