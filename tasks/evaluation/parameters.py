"""How the evaluation text is used, and the parameters of the reference.

Imports nothing heavy, because Airflow reads it when it parses a DAG.
"""

from typing import Annotated

from pydantic import Field

from tasks.model import Model

LONGEST = 131_072
"""The most tokens that a recipe may give the long window."""


class EvaluationSettings(Model):
    """How the evaluation text is used: tokens per window, windows at most, and greedy generations.

    long_window_tokens: the most tokens of the one long window, which crosses the lengths at which the model changes its
        arithmetic; 0 leaves it out.
    """

    window_tokens: Annotated[int, Field(ge=32, le=32768)] = 256
    windows: Annotated[int, Field(ge=1, le=100_000)] = 64
    long_window_tokens: Annotated[int, Field(ge=0, le=LONGEST)] = 4608
    generations: Annotated[int, Field(ge=1, le=10_000)] = 8
    generated_tokens: Annotated[int, Field(ge=8, le=32768)] = 48


class ReferenceParameters(Model):
    """How the evaluation text is cut into windows, and how much is generated."""

    settings: EvaluationSettings = EvaluationSettings()
