"""The tasks from the Hub to a plan. Pin and preflight are never reused: a branch moves, so does a host's free disk."""

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
    code=("tasks/source/fetch.py", "tasks/source/selection.py", "tasks/formats/safetensors/companions.py"),
    access=("hub",),
)

SCAN = TaskDefinition(
    name="scan",
    function="tasks.source.scan:scan",
    parameters="tasks.source.parameters:ScanParameters",
    runtime="torch",
    code=(
        "tasks/source/scan.py",
        "tasks/source/snapshot.py",
        "tasks/source/model_config.py",
        "tasks/source/chat_templates.py",
        "tasks/source/pickled.py",
        "tasks/source/reasons.py",
        "tasks/source/scan_record.py",
        "tasks/source/checks",
        "tasks/formats/safetensors/header.py",
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
        "tasks/source/analysis.py",
        "tasks/source/snapshot.py",
        "tasks/source/model_config.py",
        "tasks/source/native.py",
        "tasks/source/tokenizer_kind.py",
        "tasks/source/chat_templates.py",
        "tasks/source/checks/shapes.py",
        "tasks/source/pickled.py",
        "tasks/source/reasons.py",
        "tasks/formats/safetensors/header.py",
    ),
)

PREFLIGHT = TaskDefinition(
    name="preflight",
    function="tasks.source.preflight:preflight",
    parameters="tasks.source.parameters:PreflightParameters",
    runtime="control",
    code=("tasks/source/preflight.py", "tasks/source/plan.py"),
    keyed=False,
)
