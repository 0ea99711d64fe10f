"""The definition of the task `gate`. Airflow reads it when it parses a DAG."""

from tasks.contract import TaskDefinition

GATE = TaskDefinition(
    name="gate",
    function="tasks.gates.gate:gate",
    parameters="tasks.gates.gate:GateParameters",
    runtime="control",
    reads={
        "integrity": ("integrity.json",),
        "evaluation": ("evaluation.json",),
        "benchmark": ("benchmark.json",),
        "control": ("control.json",),
    },
    facts={
        "evaluation": ("not_applicable", "noise_type", "causes"),
        "benchmark": ("interrupted", "causes"),
        "artifact": ("verdict_caveats",),
    },
)
