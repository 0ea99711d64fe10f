"""The parameters of the tasks that measure an artifact. DAG parsing imports this module, so it is kept light."""

from typing import Annotated

from pydantic import Field

from tasks.evaluation.bound import Bound, DefaultBound
from tasks.formats.base import Target
from tasks.model import Model


class EvaluateParameters(Model):
    """The parameters of the task evaluate.

    target: the target of the artifact. It decides which engine opens the artifact.
    bounds: those of the gates on what evaluate measures. The comparison of windows ends when they are decided. Without
        any, all windows are compared.
    """

    target: Target
    bounds: tuple[DefaultBound | Bound, ...] = ()


class CompareControlParameters(Model):
    """The parameters of the task compare_control.

    target: the target of the artifact. Its engine opens the control.
    """

    target: Target


class BenchmarkParameters(Model):
    """The parameters of the task benchmark.

    target: the target of the artifact. It decides which engine opens the artifact.
    prompt_tokens, generated_tokens: tokens of one generation; fewer if the model's context is small.
    repetitions, seconds: the generation is repeated at least `repetitions` times, and until its median is precise; a
        slow one only until `seconds` have passed. A long prompt is timed if that takes at most `seconds`, too.
    latency_ms: the bound on the time between two tokens of a sequence, for the best batch. 100 ms are ten tokens a
        second: faster than people read.
    """

    target: Target
    prompt_tokens: Annotated[int, Field(ge=8)] = 128
    generated_tokens: Annotated[int, Field(ge=8)] = 32
    repetitions: Annotated[int, Field(ge=2)] = 3
    seconds: Annotated[float, Field(ge=0)] = 5.0
    latency_ms: Annotated[float, Field(gt=0)] = 100.0
