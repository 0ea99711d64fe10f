"""A log of requests, one JSON object per line. Tests and benchmarks count from it what was read and how often."""

import json
import logging
import logging.handlers
from pathlib import Path
from typing import Any

LOG_BYTES = 16 * 2**20
"""A log is rotated at this size. One older file is kept."""


class AccessLog:
    """Appends rows to a file, which is rotated by its size."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
        self._log = logging.Logger("hallmark.access")
        self._log.addHandler(handler)

    def write(self, **row: Any) -> None:
        """Append one row; it is on disk when this returns."""
        self._log.info(json.dumps(row))


def read_access_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log, in the order in which the requests ended; empty where the log does not exist."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
