"""The definition of the task `reference`. Airflow reads it when it parses a DAG."""

from tasks.checkpoint.companions import WEIGHTS
from tasks.checkpoint.view import FILES
from tasks.contract import TaskDefinition

THREADS = 16
"""It runs the model on windows of some hundred tokens, whose products of matrices many threads share."""

REFERENCE = TaskDefinition(
    name="reference",
    function="tasks.evaluation.reference:reference",
    parameters="tasks.evaluation.parameters:ReferenceParameters",
    runtime="torch",
    reads={"snapshot": WEIGHTS, "analysis": (*FILES, "analysis.json"), "evaluation-text": ("text.jsonl",)},
    threads=THREADS,
)
"""Inputs: snapshot, analysis, evaluation-text."""
