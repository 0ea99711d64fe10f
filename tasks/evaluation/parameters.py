"""How the evaluation text is used, and the parameters of the reference.

Imports nothing heavy, because Airflow reads it when it parses a DAG.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.evaluation.bound import Bound
from tasks.model import Model

LONGEST = 131_072
"""The most tokens that a recipe may give the long window."""


ERROR = 0.05
"""The probability that any decision on an artifact's windows is wrong. Each bound on them gets an equal part of it
(Bonferroni), so that all of its intervals hold together with the probability 1 - ERROR."""

LEAST_WINDOWS = 8
"""Windows that are compared at least before anything is decided. With fewer, a skewed number is decided wrongly more
often than it should be, and only a number that is far from its bound is decided at all."""


MOST_WINDOWS = 100_000
"""The most windows that a recipe may ask for."""


QUESTIONS = 64
"""Questions of the evaluation text that are asked at most: a share of them has a standard error of 6 % at most."""

ASKED = 16
"""Questions that are asked where no bound is on the answers. The share then decides nothing; it has a standard error of
12 % at most."""


DISK_SHARE = 0.5
"""The source's rows may take at most this share of the free disk; larger ones are computed each time."""


class EvaluationSettings(Model):
    """How the evaluation text is used: tokens per window, windows at most, and greedy generations.

    long_window_tokens: the most tokens of the one long window, which crosses the lengths at which the model changes its
        arithmetic; 0 leaves it out.
    """

    window_tokens: Annotated[int, Field(ge=32, le=32768)] = 256
    windows: Annotated[int, Field(ge=1, le=MOST_WINDOWS)] = 64
    long_window_tokens: Annotated[int, Field(ge=0, le=LONGEST)] = 4608
    generations: Annotated[int, Field(ge=1, le=10_000)] = 8
    generated_tokens: Annotated[int, Field(ge=8, le=32768)] = 48


class RecipeEvaluation(EvaluationSettings):
    """What a recipe says of the evaluation.

    stop: "early" ends the comparison of windows as soon as they decide the gates; "never" compares all of them.
    """

    stop: Literal["early", "never"] = "early"

    @model_validator(mode="after")
    def _can_decide(self) -> "RecipeEvaluation":
        if self.stop == "early" and self.windows < LEAST_WINDOWS:
            raise ValueError(
                f"'stop: early' decides by at least {LEAST_WINDOWS} windows, and 'windows' is {self.windows}; "
                "raise it, or set 'stop: never'"
            )
        return self

    @property
    def settings(self) -> EvaluationSettings:
        """What decides the reference, alone: it holds all windows in both cases."""
        return EvaluationSettings(**self.model_dump(exclude={"stop"}))


class ReferenceParameters(Model):
    """How the evaluation text is cut into windows, how much is generated, and how many questions are asked at most.

    bounds: for each target that is measured, those that must be decidable on the text. If no target's are, the task
        fails. They decide nothing that it writes, so they are not part of its key.
    """

    settings: EvaluationSettings = EvaluationSettings()
    questions: Annotated[int, Field(ge=1, le=QUESTIONS)] = QUESTIONS
    bounds: Annotated[dict[str, tuple[Bound, ...]], Field(exclude=True)] = {}
