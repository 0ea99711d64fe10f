"""What a mutant is: one field of one file, changed in one way."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """One change of one field.

    file: the file's path below the folder. field: the field's place in it. change: what is done to it.
    kind: the kind of field, such as "metadata"; a sample takes some mutants of each kind.
    apply: makes the change in a folder. It replaces the file, so that links to it elsewhere stay as they are.
    """

    file: str
    field: str
    change: str
    kind: str
    apply: Callable[[Path], None]

    def __str__(self) -> str:
        return f"{self.file}: {self.field} {self.change}".replace(":  ", ": ")


def copy_linked(source: Path, folder: Path) -> None:
    """Make `folder` with hard links to the files of `source`."""
    shutil.copytree(source, folder, copy_function=os.link)


def replace(path: Path, content: bytes) -> None:
    """Write a file anew; other links to its old content keep that."""
    path.unlink()
    path.write_bytes(content)
