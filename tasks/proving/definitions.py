"""The definitions of the tasks that measure an artifact. Each task runs in the runtime of the artifact's engine."""

from tasks.contract import TaskDefinition
from tasks.engines.base import Engine
from tasks.evaluation.measurement import WINDOWS_FILE
from tasks.evaluation.noise_floor import IDENTICAL
from tasks.formats.base import Format

THREADS = 8
"""Fewer than the reference: many evaluations are ready at once, and a part of each is not shared by threads."""


def evaluate_definition(format: Format, engine: Engine) -> TaskDefinition:
    """Return the task that measures an artifact of `format` in `engine`.

    Inputs: artifact, integrity, reference, analysis.
    """
    server = engine.server
    return TaskDefinition(
        name="evaluate",
        function="tasks.proving.evaluate:evaluate",
        parameters="tasks.proving.parameters:EvaluateParameters",
        runtime=engine.runtime,
        roots=(format.inspect, engine.runner, *((server.read_chats,) if server else ())),
        values=tuple(format.weights),
        reads={"analysis": ("analysis.json",), "integrity": ()},
        facts={
            "artifact": (
                "caveats",
                "verdict_caveats",
                "context_limit",
                *(server.facts if server else ()),
            ),
            "integrity": (IDENTICAL,),
        },
        native=engine.native,
        # The same file may give other numbers on another kind of processor: sums of 8-bit products saturate on some.
        hardware=True,
        needs=engine.needs,
        threads=THREADS,
    )


def control_definition(format: Format, engine: Engine) -> TaskDefinition:
    """Return the task that compares an artifact of `format` with its control in `engine`.

    Inputs: artifact, control, evaluation, reference.
    """
    return TaskDefinition(
        name="compare_control",
        function="tasks.proving.compare_control:compare_control",
        parameters="tasks.proving.parameters:CompareControlParameters",
        runtime=engine.runtime,
        roots=(format.inspect, engine.runner, *((format.same_weights,) if format.same_weights else ())),
        reads={"artifact": tuple(format.weights), "evaluation": (WINDOWS_FILE,)},
        native=engine.native,
        hardware=True,
        needs=engine.needs,
        threads=THREADS,
    )


def benchmark_definition(format: Format, engine: Engine) -> TaskDefinition:
    """Return the task that measures the speed of an artifact of `format` in `engine`; inputs: artifact, reference."""
    return TaskDefinition(
        name="benchmark",
        function="tasks.proving.benchmark:benchmark",
        parameters="tasks.proving.parameters:BenchmarkParameters",
        runtime=engine.runtime,
        roots=(format.inspect, engine.runner),
        # Its tokens are the prompts.
        reads={"reference": ("tokens.npy",)},
        native=engine.native,
        hardware=True,
        timing=True,
        needs=engine.needs,
        threads=None,
    )
