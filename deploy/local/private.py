"""Files and folders that nobody else can read; needs nothing but the standard library."""

import os
import secrets
from pathlib import Path


def private_folder(folder: Path) -> Path:
    """Make a folder, and its parents, that only its owner may enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read at any moment, whole or not at all."""
    growing = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    growing.replace(path)
