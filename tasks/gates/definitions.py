"""The gate as a task; read when a DAG is parsed."""

from tasks.contract import TaskDefinition

GATE = TaskDefinition(
    name="gate",
    function="tasks.gates.gate:gate",
    parameters="tasks.gates.gate:GateParameters",
    runtime="control",
    reads={"evaluation": ("evaluation.json",), "benchmark": ("benchmark.json",)},
)
