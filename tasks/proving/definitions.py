"""The tasks that measure an artifact; each runs in the runtime of the engine that it measures."""

from tasks.contract import TaskDefinition
from tasks.engines.base import Engine
from tasks.evaluation.definitions import EVALUATE_CODE
from tasks.formats.base import Format

_OPENING = (
    "tasks/proving/opening.py",
    "tasks/proving/parameters.py",
    "tasks/engines/runner.py",
    "tasks/engines/text_model.py",
)


def evaluate_definition(format: Format, engine: Engine) -> TaskDefinition:
    """Return the task that measures an artifact of `format` in `engine`; inputs: artifact, reference, analysis."""
    return TaskDefinition(
        name="evaluate",
        function="tasks.proving.evaluate:evaluate",
        parameters="tasks.proving.parameters:EvaluateParameters",
        runtime=engine.runtime,
        code=("tasks/proving/evaluate.py", *_OPENING, *EVALUATE_CODE, *_own_code(format, engine)),
        reads={"analysis": ("analysis.json",)},
        native=engine.native,
        needs=engine.needs,
        width="wide",
    )


def benchmark_definition(format: Format, engine: Engine) -> TaskDefinition:
    """Return the task that times an artifact of `format` in `engine`; inputs: artifact, reference."""
    return TaskDefinition(
        name="benchmark",
        function="tasks.proving.benchmark:benchmark",
        parameters="tasks.proving.parameters:BenchmarkParameters",
        runtime=engine.runtime,
        code=(
            "tasks/proving/benchmark.py",
            *_OPENING,
            "tasks/evaluation/speed.py",
            "tasks/evaluation/measurement.py",
            "tasks/evaluation/uncertainty.py",
            *_own_code(format, engine),
        ),
        # Its first window is the prompt.
        reads={"reference": ("tokens.npy",)},
        native=engine.native,
        hardware=True,
        needs=engine.needs,
        width="whole",
    )


def _own_code(format: Format, engine: Engine) -> tuple[str, ...]:
    return (_folder(format.inspect), _folder(engine.runner))


def _folder(reference: str) -> str:
    """The folder of a "module:function"."""
    return reference.partition(":")[0].rpartition(".")[0].replace(".", "/")
