"""How a person runs the toy."""

from collections.abc import Sequence

from tasks.engines.base import Usage


def usage(folder: str, files: Sequence[str], prompt: str) -> list[Usage]:
    """Return the lines that unpack the archive."""
    return [Usage("The checkpoint, unpacked", f"python -m zipfile -e {folder}/model.zip checkpoint")]
