"""The task that keeps what the source says."""

from tasks.contract import TaskDefinition

MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "*.model", "*.jinja", "merges.txt", "vocab.txt")
"""What of a snapshot transformers reads: configuration, weights, tokenizer and template; never its README."""


REFERENCE = TaskDefinition(
    name="reference",
    function="tasks.evaluation.reference:reference",
    parameters="tasks.evaluation.parameters:ReferenceParameters",
    runtime="torch",
    reads={"snapshot": MODEL_FILES, "evaluation-text": ("text.jsonl",)},
    width="wide",
)
"""Inputs: snapshot, evaluation-text."""
