"""The task that keeps what the source says, and the code that it shares with whatever is compared with it."""

from tasks.contract import TaskDefinition

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
    "tasks/engines/text_model.py",
)
EVALUATE_CODE = (
    *SHARED_CODE,
    "tasks/evaluation/measure.py",
    "tasks/evaluation/fidelity.py",
    "tasks/evaluation/continuations.py",
    "tasks/evaluation/parity.py",
    "tasks/evaluation/size.py",
)
"""The source that decides what is measured on an artifact, whatever its engine."""

MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "*.model", "*.jinja", "merges.txt", "vocab.txt")
"""What of a snapshot transformers reads: configuration, weights, tokenizer and template; never its README."""


REFERENCE = TaskDefinition(
    name="reference",
    function="tasks.evaluation.reference:reference",
    parameters="tasks.evaluation.parameters:ReferenceParameters",
    runtime="torch",
    code=REFERENCE_CODE,
    reads={"snapshot": MODEL_FILES, "evaluation-text": ("text.jsonl",)},
    width="wide",
)
"""Inputs: snapshot, evaluation-text."""
