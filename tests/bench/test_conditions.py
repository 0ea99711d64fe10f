"""What was measured is told apart by all that decides it, and by nothing that only tells it."""

from pathlib import Path

import pytest

from bench.conditions import MEASURED, code_digest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in MEASURED:
        (tmp_path / folder).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "decides"),
    [
        ("tasks/release/table.py", True),
        ("dags/recipes/texts/text.jsonl", True),
        ("deploy/demo/tokenizer.json", True),
        ("bench/run.py", True),
        ("bench/table.py", False),
        ("bench/README.md", False),
        ("tasks/__pycache__/run.pyc", False),
    ],
)
def test_what_decides_the_figures(tree: Path, name: str, decides: bool) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("before")
    before = code_digest(tree)
    path.write_text("after")
    assert (code_digest(tree) != before) is decides
