"""Whatever loads a snapshot or an artifact with transformers does it without the repository's own code."""

import re

import pytest

from tasks.settings import REPOSITORY

GUARDED = re.compile(r"from_pretrained\(|trust_remote_code")
ALLOWED = {
    "tasks/checkpoint/load.py",
    # It reads another kind of file, of one package that is locked by its hash.
    "deploy/real/rebuild.py",
}


def sources() -> dict[str, str]:
    folders = ("dags", "deploy", "operators", "tasks")
    files = [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    names = {path.relative_to(REPOSITORY).as_posix(): path for path in files}
    # The trainer of the demo model loads what it has just written.
    return {name: path.read_text() for name, path in names.items() if not name.startswith("deploy/demo/")}


def test_only_one_module_loads_with_transformers() -> None:
    found = {name for name, text in sources().items() if GUARDED.search(text)}
    # A serving module travels with its artifact, and imports nothing of this repository.
    serving = {name for name in found if re.fullmatch(r"tasks/engines/\w+/serving\.py", name)}
    assert found - serving == ALLOWED


@pytest.mark.parametrize("name", sorted(name for name, text in sources().items() if "from_pretrained(" in text))
def test_every_load_is_guarded(name: str) -> None:
    calls = re.findall(r"from_pretrained\((.*?)\n? *\)\n", sources()[name], re.DOTALL)
    assert calls
    for arguments in calls:
        assert "trust_remote_code=False" in arguments and "local_files_only=True" in arguments
