"""A note of what a task works on, which outlives it: an engine that dies in native code cannot report on which text.

The task's process writes the note before each call of the engine; whoever reads why it died reads the note.
"""

import os
from pathlib import Path

NAME = "at_work.txt"
NOTE_BYTES = 400

_notes: list[int] = []
"""The file descriptor of this process' note, if it keeps one."""


def keep_note(folder: Path) -> None:
    """Keep the note of this process in `folder`; without this, `at_work_on` does nothing."""
    _notes[:] = [os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]


def at_work_on(what: str) -> None:
    """Replace the note. A write of one page into an open file takes microseconds, and needs no flush to outlive us."""
    for note in _notes:
        shown = "".join(sign if sign.isprintable() else " " for sign in what)
        os.pwrite(note, shown.encode(errors="replace")[:NOTE_BYTES].ljust(NOTE_BYTES), 0)


def remove_note(folder: Path) -> None:
    """Remove the note of this process, which ends in an orderly way."""
    while _notes:
        os.close(_notes.pop())
    (folder / NAME).unlink(missing_ok=True)


def read_note(folder: Path) -> str | None:
    """Return the note of the process that kept it in `folder`, or None where it noted nothing."""
    try:
        return (folder / NAME).read_bytes().decode(errors="ignore").strip() or None
    except FileNotFoundError:
        return None
