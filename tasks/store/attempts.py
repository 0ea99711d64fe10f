"""Attempts at an artifact: their names, and how to find out whether the writer of one is dead.

An attempt's name holds when it began, an id of the state folder ($HALLMARK_HOME) and host, and the name of its task's
scratch folder:

    20261123t034512-621d6f5c22fd-f4747c7cdd2036b0

A task keeps its scratch folder, with a lock on it, until its artifact is published or the task is dead
(`tasks.host.scratch`). So a process with the same state folder knows at once whether the writer lives. All others wait
until the attempt is older than any transfer takes.
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
"""Age at which the writer of another host's attempt counts as dead.

An attempt begins when its files are sent, no transfer takes a day, and clocks agree within minutes.
"""

NAME = re.compile(r"(?P<began>\d{8}t\d{6})-(?P<state>[0-9a-f]{12})-(?P<scratch>[0-9a-f]{16})")
TIME = "%Y%m%dt%H%M%S"


def scratch_root() -> Path:
    """Return the folder of the scratch folders."""
    return home() / "scratch"


def new_attempt(scratch: Path) -> str:
    """Return the name of the attempt whose task works in this scratch folder; it is unique."""
    return f"{datetime.now(UTC).strftime(TIME)}-{_state_id()}-{scratch.name}"


def is_abandoned(attempt: str) -> bool:
    """Whether the attempt's writer is dead; False for a name that `new_attempt` did not make."""
    parts = NAME.fullmatch(attempt)
    if parts is None:
        return False
    if parts["state"] == _state_id():
        return not is_held(scratch_root(), parts["scratch"])
    return datetime.now(UTC) - datetime.strptime(parts["began"], TIME).replace(tzinfo=UTC) > OLD


def _state_id() -> str:
    """Return the id of this state folder on this host, which is made once.

    The host's name is part of it: an image may copy the file to another host, but not the kernel's locks.
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
