"""The definition of the task `text`. Airflow reads it when it parses a DAG."""

from tasks.contract import TaskDefinition
from tasks.manifest import Sha256
from tasks.model import Model

TEXT = TaskDefinition(
    name="text",
    function="tasks.evaluation.text:keep_text",
    parameters="tasks.evaluation.text_definition:TextParameters",
    runtime="control",
)


class TextParameters(Model):
    """A JSON-lines file below the repository, and the sha256 that it had when the run was planned."""

    path: str
    sha256: Sha256
