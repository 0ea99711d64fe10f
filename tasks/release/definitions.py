"""The tasks of a release as a whole; read when a DAG is parsed.

None of them is keyed: each looks at what is there and does what is missing, so running it again is always safe.
"""

from tasks.contract import TaskDefinition

REGISTER = TaskDefinition(
    name="register",
    function="tasks.release.register:register",
    parameters="tasks.release.register:RegisterParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""Inputs: `artifact:<target>`, `verdict:<target>`, `evaluation:<target>`, `benchmark:<target>`, where there are any."""

REPORT = TaskDefinition(
    name="report",
    function="tasks.release.report:report",
    parameters="tasks.release.report:ReportParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""Inputs: `release`, what register made; everything else is found from there."""

PROMOTE = TaskDefinition(
    name="promote",
    function="tasks.release.promote:promote",
    parameters="tasks.release.promote:PromoteParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""Inputs: `release`, what register made."""

ROLL_BACK = TaskDefinition(
    name="roll_back",
    function="tasks.release.roll_back:roll_back",
    parameters="tasks.release.roll_back:RollBackParameters",
    runtime="control",
    keyed=False,
    access=("registry",),
)
"""No inputs: the parameters name the release that is taken back."""

CONCLUDE = TaskDefinition(
    name="conclude",
    function="tasks.release.conclude:conclude",
    parameters="tasks.release.conclude:ConcludeParameters",
    runtime="control",
    keyed=False,
)
"""Inputs: `release`, where register made one."""
