"""The note of what a task works on outlives a process that dies in native code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.host import at_work
from tasks.host.at_work import NOTE_BYTES, at_work_on, keep_note, read_note, remove_note
from tasks.settings import REPOSITORY

PROGRAM = """
import os, sys
from pathlib import Path
from tasks.host.at_work import at_work_on, keep_note
keep_note(Path(sys.argv[1]))
at_work_on("a text that is longer than the next one")
at_work_on("the next one")
os.abort()
"""


def test_the_last_note_is_read_after_a_crash(tmp_path: Path) -> None:
    assert read_note(tmp_path) is None
    subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], cwd=REPOSITORY, check=False)
    assert read_note(tmp_path) == "the next one"


def test_nothing_is_noted_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "_notes", [])
    at_work_on("a text")
    keep_note(tmp_path)
    assert read_note(tmp_path) is None


def test_an_orderly_end_removes_the_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "_notes", [])
    keep_note(tmp_path)
    (note,) = at_work._notes
    remove_note(tmp_path)
    assert list(tmp_path.iterdir()) == [] and at_work._notes == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(note)
    remove_note(tmp_path)


def test_a_note_is_one_printable_line_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "_notes", [])
    keep_note(tmp_path)
    at_work_on("\x1b[31m\n" + "ä" * 1000)
    note = read_note(tmp_path)
    assert note and note.isprintable() and len(note.encode()) <= NOTE_BYTES
