"""A rule, its answer, and the verdict: the answers of all rules on one artifact, bound to the digest of its files."""

from typing import Annotated, ClassVar, Literal

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
    """All answers on one artifact, measured by one engine in one pool.

    engine: the engine that was measured, with its version.
    pool: the pool in which it was measured; None for a proof that was run by hand.
    files_digest: the artifact's Manifest.files_digest when it was judged.
    bases: the bases that block the artifact, with the clause that says why; see tasks/gates/bases.py.

    Version 1 had no `engine`, no `pool` and no `bases`. It is read without them.
    """

    SCHEMA: ClassVar[int] = 2

    target: str
    engine: str | None = None
    pool: str | None = None
    artifact: str
    files_digest: str
    passed: bool
    answers: tuple[Answer, ...]
    bases: dict[str, str] = {}

    @property
    def failed(self) -> list[Answer]:
        """The answers of the gates that failed."""
        return [answer for answer in self.answers if answer.outcome == "fail"]

    @property
    def reason(self) -> str:
        """The lines of what blocks, bases first, or that all gates passed; fit for a table."""
        lines = [f"it is made from {base}, which {why}" for base, why in self.bases.items()]
        lines += [answer.why for answer in self.failed]
        if lines:
            return "; ".join(lines)
        return f"all {len(self.answers)} gates passed" if self.passed else "no gate is applicable, so nothing is proven"
