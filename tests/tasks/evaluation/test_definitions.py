import ast
from pathlib import Path

from tasks.evaluation.definitions import MODEL_FILES, REFERENCE
from tasks.settings import REPOSITORY


def imported(path: Path, found: set[str]) -> set[str]:
    """Return the modules of tasks.evaluation that a file imports, however far down."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks.evaluation."):
            place = f"{(node.module or '').replace('.', '/')}.py"
            if place not in found:
                found.add(place)
                imported(REPOSITORY / place, found)
    return found


def test_the_code_named_is_the_code_that_runs() -> None:
    start = f"{REFERENCE.function.partition(':')[0].replace('.', '/')}.py"
    needed = imported(REPOSITORY / start, {start})
    assert {place for place in REFERENCE.code if place.startswith("tasks/evaluation/")} == needed


def test_a_readme_is_no_part_of_the_reference() -> None:
    from fnmatch import fnmatchcase

    read = [name for name in ("README.md", "LICENSE", "config.json", "model.safetensors", "chat_template.jinja")
            if any(fnmatchcase(name, pattern) for pattern in MODEL_FILES)]  # fmt: skip
    assert read == ["config.json", "model.safetensors", "chat_template.jinja"]
