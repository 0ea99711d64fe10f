"""The parameters of the tasks that measure an artifact; light, because they are read when a DAG is parsed."""

from typing import Annotated

from pydantic import Field

from tasks.formats.base import Target
from tasks.model import Model


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
