"""Mutants of files of plain text: a chat template, a licence. A letter is added, or the file is removed."""

from collections.abc import Iterator
from pathlib import Path

from tests.mutations.mutant import Mutant, replace


def text_mutants(file: str) -> Iterator[Mutant]:
    """Yield the mutants of a file."""

    def add(folder: Path) -> None:
        replace(folder / file, (folder / file).read_bytes() + b"x")

    def remove(folder: Path) -> None:
        (folder / file).unlink()

    yield Mutant(file, "the text", "changed", "texts", add)
    yield Mutant(file, "the file", "removed", "texts", remove)
