"""Rows are read back as they were written, and the log does not grow without end."""

from pathlib import Path

import pytest

from deploy.local import access_log
from deploy.local.access_log import AccessLog, read_access_log


def test_rows_are_read_back_in_order(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "deep" / "requests.log")
    rows = [{"path": f"/ä {number}\n", "bytes": number} for number in range(3)]
    for row in rows:
        log.write(**row)
    assert read_access_log(tmp_path / "deep" / "requests.log") == rows
    assert read_access_log(tmp_path / "absent.log") == []


def test_it_is_rotated_by_size_and_one_older_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "LOG_BYTES", 200)
    log = AccessLog(tmp_path / "requests.log")
    for number in range(50):
        log.write(number=number)
    assert {path.name for path in tmp_path.iterdir()} == {"requests.log", "requests.log.1"}
    assert read_access_log(tmp_path / "requests.log")[-1] == {"number": 49}
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())
