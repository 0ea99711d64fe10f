"""A rule, its answer, and the verdict: the answers of all rules on one artifact, bound to the digest of its files."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tasks.model import Model
from tasks.records import Record

BLOCKING = ("fail", "undecided")
"""The outcomes of a gate that block."""


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
    """One gate's answer: what was seen against which rule, and one line of why.

    outcome: "undecided" where the number cannot decide: it is too close to the bound, or it was disturbed. It blocks,
        as "fail" does.
    """

    rule: Rule
    outcome: Literal["pass", "fail", "undecided", "not applicable"]
    seen: float | None
    standard_error: float | None = None
    why: str


class Verdict(Record):
    """All answers on one artifact, measured by one engine in one pool.

    engine: the engine that was measured, with its version.
    pool: the pool in which it was measured; None for a proof that was run by hand.
    files_digest: the artifact's Manifest.files_digest when it was judged.
    bases: the bases that block the artifact, with the clause that says why; see tasks/gates/bases.py.
    caveats: what the conversion knows to be otherwise than in the source; see tasks/evaluation/caveats.py.

    Version 1 had no `engine`, no `pool` and no `bases`. Versions 1 and 2 had no `caveats`. They are read without them.
    Versions 1 to 3 had no undecided answers.
    """

    SCHEMA: ClassVar[int] = 4

    target: str
    engine: str | None = None
    pool: str | None = None
    artifact: str
    files_digest: str
    passed: bool
    answers: tuple[Answer, ...]
    bases: dict[str, str] = {}
    caveats: tuple[str, ...] = ()

    @property
    def blocking(self) -> list[Answer]:
        """The answers that block: of the gates that failed, and of those that could not decide."""
        return [answer for answer in self.answers if answer.outcome in BLOCKING]

    @property
    def reason(self) -> str:
        """The lines of what blocks, bases first, or that all gates passed; then the caveats. Fit for a table.

        A line that a base's clause or an answer already has is left out.
        """
        lines = [f"made from {base}, which {why}" for base, why in self.bases.items()]
        _add_new(lines, (answer.why for answer in self.blocking))
        if not lines:
            passed, unproven = f"all {len(self.answers)} gates passed", "no gate is applicable, so nothing is proven"
            lines.append(passed if self.passed else unproven)
        _add_new(lines, self.caveats)
        return "; ".join(lines)


def _add_new(lines: list[str], more: Iterable[str]) -> None:
    lines += [line for line in more if not any(line in said for said in lines)]
