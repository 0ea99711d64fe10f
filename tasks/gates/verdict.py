"""A rule, its answer, and the verdict: the answers of all rules on one artifact, bound to the digest of its files."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.model import Model
from tasks.records import Record


class Rule(Model):
    """One gate of a recipe: a bound on one measured number, for the targets that match a glob, with its reason."""

    metric: str
    maximum: float | None = None
    minimum: float | None = None
    targets: str = "*"
    reason: Annotated[str, Field(min_length=10)]

    @model_validator(mode="after")
    def _one_bound(self) -> "Rule":
        if (self.maximum is None) == (self.minimum is None):
            raise ValueError(f"the gate on {self.metric!r} needs exactly one of 'maximum' and 'minimum'")
        return self


class Answer(Model):
    """One gate's answer: what was seen against which rule, and one line of why."""

    rule: Rule
    outcome: Literal["pass", "fail", "not applicable"]
    seen: float | None
    standard_error: float | None = None
    why: str


class Verdict(Record):
    """All answers on one artifact; `files_digest` is the artifact's Manifest.files_digest when it was judged."""

    target: str
    artifact: str
    files_digest: str
    passed: bool
    answers: tuple[Answer, ...]

    @property
    def reason(self) -> str:
        """The failed gates' lines, or that all passed; fit for a table."""
        failed = [answer.why for answer in self.answers if answer.outcome == "fail"]
        return "; ".join(failed) if failed else f"all {len(self.answers)} gates passed"
