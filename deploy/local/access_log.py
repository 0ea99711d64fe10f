"""A log of requests, one JSON object a line, so that it can be counted what was read, how often and how much."""

import json
import logging
import logging.handlers
from pathlib import Path
from typing import Any

LOG_BYTES = 16 * 2**20
"""Size at which a log is rotated; one older file is kept."""


class AccessLog:
    """Appends rows to a file that is rotated by size."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
        self._log = logging.Logger("hallmark.access")
        self._log.addHandler(handler)

    def write(self, **row: Any) -> None:
        """Append one row; it is on disk when this returns."""
        self._log.info(json.dumps(row))


def read_access_log(path: Path) -> list[dict[str, Any]]:
    """Rows of a log in the order of the requests' ends; empty when nothing was asked yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
