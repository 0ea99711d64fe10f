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
    """Write a JSON object; a file whose content is unchanged keeps its bytes if every library reads them."""
    (view / name).unlink(missing_ok=True)
    # As texts, because 1 and 1.0 are equal in Python and two types to transformers.
    unchanged = json.dumps(snapshot.json(name), sort_keys=True) == json.dumps(content, sort_keys=True)
    if unchanged and _is_utf8(snapshot.folder / name):
        keep(snapshot, view, name)
    else:
        (view / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_utf8(path: Path) -> bool:
    """Whether a file is UTF-8 without a byte order mark. `Snapshot.json` reads UTF-16 and the mark, too."""
    try:
        return not path.read_text(encoding="utf-8").startswith("\ufeff")
    except UnicodeDecodeError:
        return False
