"""Reads the toy's archive without an engine."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import Corrupt

MODEL = "model.zip"


def inspect(folder: Path) -> Mapping[str, Any]:
    """Return how many files the archive has; raises Corrupt where it is none, or one of them is broken."""
    try:
        with zipfile.ZipFile(folder / MODEL) as archive:
            broken, names = archive.testzip(), archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise Corrupt(f"{MODEL} is no archive: {error}; make it again.") from error
    if broken or "model.safetensors" not in names:
        raise Corrupt(f"{MODEL} has no whole model.safetensors; make it again.")
    return {"files": len(names)}
