"""The tasks from the Hub to an analysis. Pin is never reused, because a branch moves."""

from tasks.contract import TaskDefinition

PIN = TaskDefinition(
    name="pin",
    function="tasks.source.pin:pin",
    parameters="tasks.source.parameters:PinParameters",
    runtime="control",
    code=("tasks/source/pin.py", "tasks/source/hub.py", "tasks/source/selection.py"),
    keyed=False,
    access=("hub",),
)

FETCH = TaskDefinition(
    name="fetch",
    function="tasks.source.fetch:fetch",
    parameters="tasks.source.parameters:FetchParameters",
    runtime="control",
    # How bytes travel does not decide them, their digests do; which files are taken does.
    code=("tasks/source/fetch.py", "tasks/source/selection.py", "tasks/checkpoint/companions.py"),
    access=("hub",),
)

SCAN = TaskDefinition(
    name="scan",
    function="tasks.source.scan:scan",
    parameters="tasks.source.parameters:ScanParameters",
    runtime="torch",
    code=(
        "tasks/source/scan.py",
        "tasks/checkpoint/snapshot.py",
        "tasks/checkpoint/model_config.py",
        "tasks/checkpoint/chat_templates.py",
        "tasks/checkpoint/pickles.py",
        "tasks/checkpoint/reasons.py",
        "tasks/source/scan_record.py",
        "tasks/source/checks",
        "tasks/checkpoint/headers.py",
    ),
)

ANALYZE = TaskDefinition(
    name="analyze",
    function="tasks.source.analyze:analyze",
    parameters="tasks.source.parameters:AnalyzeParameters",
    # Pickled weights, where a recipe allows them, show their shapes to torch only; transformers knows its own models.
    runtime="torch",
    code=(
        "tasks/source/analyze.py",
        "tasks/checkpoint/analysis.py",
        "tasks/checkpoint/snapshot.py",
        "tasks/checkpoint/model_config.py",
        "tasks/checkpoint/known_models.py",
        "tasks/checkpoint/tokenizer_kind.py",
        "tasks/checkpoint/chat_templates.py",
        "tasks/source/checks/shapes.py",
        "tasks/checkpoint/pickles.py",
        "tasks/checkpoint/reasons.py",
        "tasks/checkpoint/headers.py",
    ),
)
