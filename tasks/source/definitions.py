"""The tasks from the Hub to an analysis. Pin is never reused, because a branch moves."""

from tasks.contract import TaskDefinition

PIN = TaskDefinition(
    name="pin",
    function="tasks.source.pin:pin",
    parameters="tasks.source.parameters:PinParameters",
    runtime="control",
    keyed=False,
    access=("hub",),
)

FETCH = TaskDefinition(
    name="fetch",
    function="tasks.source.fetch:fetch",
    parameters="tasks.source.parameters:FetchParameters",
    runtime="control",
    access=("hub",),
)

SCAN = TaskDefinition(
    name="scan",
    function="tasks.source.scan:scan",
    parameters="tasks.source.parameters:ScanParameters",
    runtime="torch",
)

ANALYZE = TaskDefinition(
    name="analyze",
    function="tasks.source.analyze:analyze",
    parameters="tasks.source.parameters:AnalyzeParameters",
    facts={"snapshot": ("left_out",)},
    # torch reads the shapes of pickled weights, and transformers knows which models it implements.
    runtime="torch",
)
