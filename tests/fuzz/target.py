"""A fuzz target: a parser, what it is fed, and how much of it must be reached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent
CORPUS = FOLDER / "corpus"


@dataclass(frozen=True)
class Target:
    """How one parser is fuzzed.

    parse: takes the input and an empty folder of its own; returns, or raises HallmarkError. What it finds wrong with
        an answer (a path that leads out, a text form that does not come back) it raises as an AssertionError.
    measured: the parser's source file, relative to the repository, to the names of its functions and classes; all of
        the file, where none is named.
    runs: executions at least, in `make test`.
    floor: branch coverage in percent that corpus and run together must reach.
    words: what the mutator may insert besides bytes.
    longest: bytes of an input at most.
    prepare: called once with the folder, before the first input: files that do not change.
    json: whether inputs are JSON, so that most mutations keep it well-formed.
    prefix: bytes before the JSON that choose what it is.
    allowed: audit events of code made from the input that the parser has a reason for.
    """

    parse: Callable[[bytes, Path], None]
    measured: Mapping[str, Sequence[str]]
    runs: int
    floor: float
    words: Sequence[str] = ()
    longest: int = 4096
    prepare: Callable[[Path], object] | None = None
    json: bool = False
    prefix: int = 0
    allowed: Sequence[str] = ()


def names() -> list[str]:
    """Return the names of all targets."""
    return sorted(path.stem for path in (FOLDER / "targets").glob("*.py"))


def load(name: str) -> Target:
    """Import and return one target."""
    found = import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(found, Target)
    return found


def seeds(name: str) -> list[Path]:
    """Return the inputs of a target's corpus."""
    return sorted((CORPUS / name).iterdir())
