"""What holds of every parser, whatever it is given: a value, or one sentence; nothing run, nothing opened elsewhere."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tasks.errors import HallmarkError

LONGEST_SENTENCE = 2000
"""Characters; a message that repeats its input whole could fill a log."""

FORBIDDEN = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect", "socket.getaddrinfo")
"""Beginnings of Python's audit events that no parser has a reason for."""

CODE = ("exec", "compile", "pickle.find_class", "marshal.loads")
"""Audit events of code that is made from what was read."""


class Broken(BaseException):
    """Raised where a parser did what none may do; no parser's own `except` catches it."""


def check(parse: Callable[[bytes, Path], None], data: bytes, folder: Path, allowed: Sequence[str] = ()) -> bool:
    """Give `data` to `parse`; return whether it was taken, not refused. `folder` is all that it may open.

    Raises Broken, or whatever `parse` raises that is no HallmarkError: each is a flaw. `allowed` are events of
    CODE that it has a reason for.
    """
    with _watched(folder, allowed):
        try:
            parse(data, folder)
        except HallmarkError as refusal:
            check_sentence(str(refusal))
            return False
    return True


def check_sentence(said: str) -> None:
    """Raise Broken unless a message is one line that a terminal, a log and a page can show."""
    if not said.strip() or len(said) > LONGEST_SENTENCE or not said.isprintable():
        raise Broken(f"no sentence of one line and {LONGEST_SENTENCE} characters: {said[:300]!r} ({len(said)})")
    if not said.rstrip().endswith((".", "?", "!", ")")):
        raise Broken(f"no whole sentence: {said[-300:]!r}")


_watching: list[tuple[str, Sequence[str]]] = []


@contextmanager
def _watched(folder: Path, allowed: Sequence[str]) -> Iterator[None]:
    _install()
    _watching.append((str(folder), allowed))
    try:
        yield
    finally:
        _watching.clear()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    root, allowed = _watching[-1]
    if event == "open":
        path = arguments[0]
        if not isinstance(path, int) and not os.path.realpath(os.fsdecode(path)).startswith(root) and not _importing():
            _watching.clear()
            raise Broken(f"opens {path!r}, which is not in its folder")
    elif event.startswith(FORBIDDEN) or (event in CODE and event not in allowed and not _importing()):
        _watching.clear()
        raise Broken(f"does what no parser may: {event} {str(arguments)[:200]}")


def _importing() -> bool:
    """Whether a module of Python or of ours is just being imported, for the first time, by the parser's own lines."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _install() -> None:
    if not _installed:
        sys.addaudithook(_audit)
        _installed.append(True)


_installed: list[bool] = []
