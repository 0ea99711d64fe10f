"""The parameters of the three tasks that measure; light, for they are read when a DAG is parsed."""

from typing import Annotated

from pydantic import Field

from tasks.formats.base import Target
from tasks.model import Model


class EvaluationSettings(Model):
    """How the evaluation text is used: tokens per window, windows at most, and greedy generations."""

    window_tokens: Annotated[int, Field(ge=32, le=32768)] = 256
    windows: Annotated[int, Field(ge=1, le=100_000)] = 64
    generations: Annotated[int, Field(ge=1, le=10_000)] = 8
    generated_tokens: Annotated[int, Field(ge=8, le=32768)] = 48


class ReferenceParameters(Model):
    """How the evaluation text is cut into windows, and how much is generated."""

    settings: EvaluationSettings = EvaluationSettings()


class EvaluateParameters(Model):
    """The target that the artifact was made for; its format's runner opens it."""

    target: Target


class BenchmarkParameters(Model):
    """The target that the artifact was made for, and how much its engine is made to do.

    The generation is repeated `repetitions` times at least, and until `seconds` have passed.
    """

    target: Target
    prompt_tokens: Annotated[int, Field(ge=8)] = 128
    generated_tokens: Annotated[int, Field(ge=8)] = 64
    repetitions: Annotated[int, Field(ge=2)] = 5
    seconds: Annotated[float, Field(ge=0)] = 2.0
