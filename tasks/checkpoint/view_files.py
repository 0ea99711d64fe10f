"""Writes files of the view: as they are in the snapshot, or as JSON where a field was settled."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.checkpoint.snapshot import Snapshot


def keep(snapshot: Snapshot, view: Path, name: str) -> None:
    """Copy a file, byte for byte; nothing where the snapshot has no such file."""
    source = snapshot.folder / name
    if source.is_file():
        (view / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, view / name)


def write(snapshot: Snapshot, view: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write a JSON object; a file whose content is unchanged keeps its bytes."""
    if snapshot.json(name) == content:
        keep(snapshot, view, name)
    else:
        (view / name).unlink(missing_ok=True)
        (view / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
