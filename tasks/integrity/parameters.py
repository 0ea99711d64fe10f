"""The parameters of the task compare_weights. DAG parsing imports this module, so it is kept light."""

from tasks.formats.base import Target
from tasks.model import Model


class CompareParameters(Model):
    """The parameters of the task compare_weights.

    target: the target of the artifact. It decides which format reads it.
    """

    target: Target
