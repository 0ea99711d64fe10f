"""Keeps the output of a finished task on this host until the store has it.

An output may have taken hours. Sending it may fail for reasons that have nothing to do with it: the store's credentials
expire, the store is full or away, or the task is killed. So a finished output is first moved to

    unsent/<name>/output/        the files
    unsent/<name>/output.json    written last: without it, the output is not finished

in the state folder, and is sent from there. The name is the task's key; for a forced run, it is a digest of the key and
the run. The next try with the same name sends the output without computing it again. What nobody sends is removed after
KEPT.

The disk may not have all bytes of a file when the machine dies. An output is therefore used only while the machine that
made it has not been started anew.
"""

import os
import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from tasks.host.proc import boot_id
from tasks.host.shortage import is_disk_full
from tasks.manifest import Cost
from tasks.model import JsonObject, Model
from tasks.settings import home

KEPT = timedelta(days=3)
"""Long enough for a person to renew credentials after a weekend; short enough for the disk."""


class Finished(Model):
    """What a task made besides its files.

    facts, versions, cost: as in the manifest. boot: the id of the machine's start. sizes: path to bytes of every file.
    """

    facts: JsonObject
    versions: dict[str, str]
    cost: Cost
    boot: str
    sizes: dict[str, int]


def keep(name: str, output: Path, facts: JsonObject, versions: dict[str, str], cost: Cost) -> tuple[Path, Finished]:
    """Move a finished output to its place; return its new folder and its record. On a full disk it stays."""
    discard(name)
    place = _place(name)
    place.mkdir(parents=True)
    made = Finished(facts=facts, versions=versions, cost=cost, boot=boot_id(), sizes=_sizes(output))
    growing = place / ".output.json"
    try:
        growing.write_text(made.to_json(), encoding="utf-8")
    except OSError as error:
        discard(name)
        if not is_disk_full(error):
            raise
        # There is no room even for the record, so the output is sent from where it is.
        return output, made
    folder = output.rename(place / "output")
    growing.rename(place / "output.json")
    return folder, made


def find(name: str) -> tuple[Path, Finished] | None:
    """Return the finished output of that name that is still to be sent, or None; one that cannot be used is removed."""
    record, folder = _place(name) / "output.json", _place(name) / "output"
    try:
        made = Finished.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        made = None
    if made and (made.boot, made.sizes) == (boot_id(), _sizes(folder)):
        # It is being sent, so it is not old.
        os.utime(_place(name))
        return folder, made
    discard(name)
    return None


def discard(name: str) -> None:
    """Remove the output of that name, if there is one."""
    shutil.rmtree(_place(name), ignore_errors=True)


def remove_old() -> None:
    """Remove the outputs that nobody has sent for KEPT."""
    for place in home().glob("unsent/*"):
        # Another task may have sent and removed it since.
        with suppress(FileNotFoundError):
            if place.stat().st_mtime < time.time() - KEPT.total_seconds():
                shutil.rmtree(place, ignore_errors=True)


def _place(name: str) -> Path:
    return home() / "unsent" / name


def _sizes(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
