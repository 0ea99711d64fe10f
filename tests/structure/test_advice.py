"""What a message advises helps: a cleared task finds the same file in the store, and only `force` makes another one."""

import ast
import re

from tasks.settings import REPOSITORY

AGAIN = re.compile(r"\b(make|convert|quantize|fetch) (it|the \w+) again\b")


def advice(text: str) -> list[str]:
    """Return the texts of a program, docstrings left out, that advise to make or fetch something again, and no more."""
    tree = ast.parse(text)
    bare = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in bare]
    return [node.value for node in texts if isinstance(node.value, str) and _alone(node.value)]


def _alone(text: str) -> bool:
    return AGAIN.search(text) is not None and "'force'" not in text


def test_no_message_advises_to_make_a_file_again_without_force() -> None:
    found = {
        f"{path.relative_to(REPOSITORY)}: {text}"
        for path in (REPOSITORY / "tasks").rglob("*.py")
        for text in advice(path.read_text())
    }
    assert found == set()


def test_advice_is_recognized() -> None:
    bad = 'def f():\n    """Make it again."""\n    raise Corrupt(f"{name} is empty; convert the model again.")\n'
    assert advice(bad) == [" is empty; convert the model again."]
    assert advice("x = \"run the release again with 'force' to make it again\"") == []
