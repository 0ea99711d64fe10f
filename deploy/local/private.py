"""Files and folders that only their owner can read. Imports the standard library only."""

import os
import secrets
from pathlib import Path


def private_folder(folder: Path) -> Path:
    """Create a folder that only its owner may enter, with its parents."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file in one step. Other users cannot read it at any moment."""
    growing = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    growing.replace(path)
