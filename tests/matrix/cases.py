"""The rows of cases.toml, and which of them an expression such as `arch=llama and target=gguf-*` selects."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tasks.engines.base import Engine
from tasks.formats.base import Format, Target
from tasks.formats.registry import load_format, parse_target

CASES = Path(__file__).with_name("cases.toml")
FIELDS = ("arch", "target", "engine")


@dataclass(frozen=True)
class Architecture:
    """One table of [architectures]; cases.toml explains the fields."""

    config: str
    sizes: str = "decoder"
    settings: Mapping[str, Any] = field(default_factory=dict)
    pre_tokenizer: str = "gpt-2"
    tokenizer: Literal["byte-bpe", "sentencepiece"] = "byte-bpe"

    @property
    def values(self) -> dict[str, Any]:
        """What the configuration's class gets."""
        return {**_table()["sizes"][self.sizes], **self.settings}


@dataclass(frozen=True)
class Case:
    """One row.

    kld_mean: the largest mean divergence from the source, in nats a token.
    options: what a recipe would give the target.
    tie: by how much the logit of a generated token may be below the largest one, in a forward of the whole text: that
        sums in another order than one token at a time.
    asked: whether it runs only where an expression selects rows.
    compared: up to how many tokens evaluation compares it; None for the whole long window.
    """

    arch: str
    target: str
    engine: str
    kld_mean: float
    options: Mapping[str, Any] = field(default_factory=dict)
    tie: float = 0.1
    asked: bool = False
    compared: int | None = None

    def __str__(self) -> str:
        return f"{self.arch}--{self.target}--{self.engine}"

    @property
    def parsed(self) -> Target:
        """The target with its options."""
        return parse_target(self.target, self.options)

    @property
    def format(self) -> Format:
        """The target's format."""
        return load_format(self.parsed.format)

    @property
    def arithmetic(self) -> str:
        """The name of the type in which the engine computes."""
        return str(_table()["arithmetic"].get(self.engine, "float32"))

    @property
    def one_at_a_time(self) -> bool:
        """Whether the engine decodes one sequence of the architecture at a time."""
        return any(
            self.engine == row["engine"] and self.arch in row["architectures"] for row in _table()["one_at_a_time"]
        )

    @property
    def opened_by(self) -> Engine:
        """The engine; raises ValueError where the format has none of that name."""
        for engine in self.format.engines:
            if engine.name == self.engine:
                return engine
        names = ", ".join(engine.name for engine in self.format.engines)
        raise ValueError(f"{self.target} is not opened by {self.engine!r}; its engines are: {names}")


@dataclass(frozen=True)
class Refused:
    """One row of targets that cannot be made, and a part of the reason that the plan gives."""

    targets: Sequence[str]
    architectures: Sequence[str]
    reason: str


def all_cases() -> list[Case]:
    """Return every row."""
    groups = [
        Case(arch=arch, kld_mean=bound, **{name: value for name, value in group.items() if name != "kld_mean"})
        for group in _table()["cases"]
        for arch, bound in group["kld_mean"].items()
    ]
    return [*(Case(**row) for row in _table()["case"]), *groups]


def all_refused() -> list[Refused]:
    """Return every row of what the plan refuses."""
    return [Refused(**row) for row in _table()["refused"]]


def cases_of(runtime: str) -> list[Case]:
    """Return the rows whose engine lives in this runtime."""
    return [case for case in all_cases() if case.opened_by.runtime == runtime]


def architectures() -> dict[str, Architecture]:
    """Return the architectures by name."""
    return {name: Architecture(**table) for name, table in _table()["architectures"].items()}


def selected(case: Case, expression: str) -> bool:
    """Return whether a case meets each `field=pattern` of an expression, joined by `and`; raises ValueError."""
    return all(fnmatchcase(getattr(case, name), pattern) for name, pattern in parse(expression))


def parse(expression: str) -> Sequence[tuple[str, str]]:
    """Return the pairs of field and pattern; raises ValueError with what is allowed."""
    pairs = [tuple(part.strip() for part in term.split("=", 1)) for term in re.split(r"\s+and(?:\s+|$)", expression)]
    for pair in pairs:
        if len(pair) != 2 or pair[0] not in FIELDS:
            raise ValueError(f"{expression!r}: write FIELD=PATTERN [and ...], with the fields {', '.join(FIELDS)}")
    return [(pair[0], pair[1]) for pair in pairs]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(CASES.read_text(encoding="utf-8"))
