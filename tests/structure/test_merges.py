"""No page, recipe or module holds what git leaves where two changes of the same lines meet."""

import re
from pathlib import Path

from tasks.settings import REPOSITORY

FOLDERS = ("bench", "dags", "deploy", "docs", "operators", "tasks", "tests")
KINDS = {".py", ".md", ".toml", ".yaml", ".svg", ".jinja", ".css", ".txt"}
MARK = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)


def files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*") if path.suffix in KINDS]
    return [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("*.toml"), *found]


def test_no_merge_is_left_half_done() -> None:
    assert [str(path) for path in files() if MARK.search(path.read_text(encoding="utf-8", errors="replace"))] == []


def test_a_mark_is_seen() -> None:
    assert MARK.search("one\n<<<<<<< HEAD\ntwo") and MARK.search(">>>>>>> 1234567 (a change)")
    assert not MARK.search("a >>>>>>> b")
