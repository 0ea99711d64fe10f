"""The definition of the task that compares an artifact's weights with the source's."""

from tasks.checkpoint.companions import NOTICES, WEIGHTS
from tasks.checkpoint.model_config import CONFIG
from tasks.contract import TaskDefinition
from tasks.formats.base import Format

THREADS = 4
"""Pieces of tensors are compared side by side, until reading them from the disk is what takes the time."""


def compare_definition(format: Format) -> TaskDefinition:
    """Return the task that compares an artifact of `format`; see `compare_weights` for its inputs."""
    return TaskDefinition(
        name="compare_weights",
        function="tasks.integrity.compare_weights:compare_weights",
        parameters="tasks.integrity.parameters:CompareParameters",
        runtime=format.tensors.runtime,
        roots=(format.tensors.function,),
        reads={
            "artifact": (*format.weights, CONFIG, *NOTICES),
            "snapshot": (*WEIGHTS, *NOTICES),
            "analysis": ("analysis.json", "view/config.json"),
        },
        native=tuple(format.tensors.native),
        threads=THREADS,
    )
