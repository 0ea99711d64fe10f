"""Attempts at an artifact: how they are named, and when nobody will write to one any more.

An attempt's name says when it began, in which state folder ($HALLMARK_HOME) of which host, and in which scratch folder
its task works: `20261123t034512-<state, 12 hex digits>-<scratch folder, 16>`. A task has its scratch folder until its
artifact is whole and published, or it is dead, and the kernel knows which (`tasks.host.scratch`). So whoever shares the
state folder knows at once; all others wait until the attempt is older than any sending takes.
"""

import os
import re
import secrets
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.host.scratch import is_held
from tasks.model import digest_of
from tasks.settings import home

OLD = timedelta(days=7)
"""What another host began so long ago is dead: an attempt begins when its files are sent,
no sending takes a day, and clocks agree within minutes."""

NAME = re.compile(r"(?P<began>\d{8}t\d{6})-(?P<state>[0-9a-f]{12})-(?P<scratch>[0-9a-f]{16})")
TIME = "%Y%m%dt%H%M%S"


def scratch_root() -> Path:
    """Return the folder of the scratch folders."""
    return home() / "scratch"


def new_attempt(scratch: Path) -> str:
    """Return the name of the attempt whose task works in this scratch folder; no two attempts share it."""
    return f"{datetime.now(UTC).strftime(TIME)}-{_state_id()}-{scratch.name}"


def is_abandoned(attempt: str) -> bool:
    """Whether nobody will write to the attempt any more; a name that is not of our making never is."""
    parts = NAME.fullmatch(attempt)
    if parts is None:
        return False
    if parts["state"] == _state_id():
        return not is_held(scratch_root(), parts["scratch"])
    return datetime.now(UTC) - datetime.strptime(parts["began"], TIME).replace(tzinfo=UTC) > OLD


def _state_id() -> str:
    """Return what tells this state folder on this host from all others, made once.

    The host's name counts as well: the file may be copied with an image, the locks in the kernel are not.
    """
    path = home() / "id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".id-{secrets.token_hex(8)}")
        made.write_text(secrets.token_hex(16))
        with suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
    return digest_of([path.read_text(), socket.gethostname()])[:12]
