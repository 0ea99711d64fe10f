"""The task definitions of reference, evaluate and benchmark; the last two live in the runtime of an engine."""

from tasks.contract import TaskDefinition
from tasks.evaluation.parameters import BenchmarkParameters, EvaluateParameters, ReferenceParameters
from tasks.formats.base import Format
from tasks.model import Model

_FILES = (
    "parameters",
    "measurement",
    "reference_files",
    "reference_reader",
    "shared_rows",
    "divergence",
    "uncertainty",
    "answers",
)
SHARED_CODE = tuple(f"tasks/evaluation/{name}.py" for name in _FILES)
"""The source that both the reference and everything compared with it depend on."""

REFERENCE_CODE = (
    *SHARED_CODE,
    "tasks/evaluation/reference.py",
    "tasks/evaluation/reference_windows.py",
    "tasks/evaluation/source_model.py",
    "tasks/evaluation/source_distributions.py",
    "tasks/evaluation/source_continuations.py",
    "tasks/evaluation/source_parity.py",
    "tasks/evaluation/parity_texts.py",
)
EVALUATE_CODE = (
    *SHARED_CODE,
    "tasks/evaluation/evaluate.py",
    "tasks/engines/runner.py",
    "tasks/engines/engine_runner.py",
    "tasks/proving/opening.py",
    "tasks/evaluation/fidelity.py",
    "tasks/evaluation/continuations.py",
    "tasks/evaluation/parity.py",
    "tasks/evaluation/size.py",
)
BENCHMARK_CODE = (
    "tasks/evaluation/parameters.py",
    "tasks/evaluation/measurement.py",
    "tasks/evaluation/uncertainty.py",
    "tasks/engines/runner.py",
    "tasks/engines/engine_runner.py",
    "tasks/proving/opening.py",
    "tasks/evaluation/benchmark.py",
)
MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "*.model", "*.jinja", "merges.txt", "vocab.txt")
"""What of a snapshot transformers reads: configuration, weights, tokenizer and template; never its README."""


def _parameters(model: type[Model]) -> str:
    return f"{model.__module__}:{model.__qualname__}"


REFERENCE = TaskDefinition(
    name="reference",
    function="tasks.evaluation.reference:reference",
    parameters=_parameters(ReferenceParameters),
    runtime="torch",
    code=REFERENCE_CODE,
    reads={"snapshot": MODEL_FILES, "evaluation-text": ("text.jsonl",)},
)
"""Inputs: snapshot, evaluation-text."""


def evaluate_definition(format: Format) -> TaskDefinition:
    """Return the task that measures an artifact of `format`; inputs: artifact, reference, analysis."""
    return TaskDefinition(
        name="evaluate",
        function="tasks.evaluation.evaluate:evaluate",
        parameters=_parameters(EvaluateParameters),
        runtime=format.serve_runtime,
        code=(*EVALUATE_CODE, f"tasks/formats/{format.name}"),
        reads={"analysis": ("analysis.json",)},
        native=format.convert.native,
    )


def benchmark_definition(format: Format) -> TaskDefinition:
    """Return the task that times an artifact of `format`; inputs: artifact, reference (its first window)."""
    return TaskDefinition(
        name="benchmark",
        function="tasks.evaluation.benchmark:benchmark",
        parameters=_parameters(BenchmarkParameters),
        runtime=format.serve_runtime,
        code=(*BENCHMARK_CODE, f"tasks/formats/{format.name}"),
        reads={"reference": ("tokens.npy",)},
        native=format.convert.native,
        hardware=True,
    )
