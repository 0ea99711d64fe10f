"""A job's result that is no result, as after a power cut, is told as one sentence and not as a bug."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from operators.local_job import LocalJob
from tasks.contract import Spec
from tasks.errors import Corrupt

WRITE = "import sys; open(sys.argv[1], 'wb').write(bytes.fromhex(sys.argv[2]))"


@pytest.mark.parametrize("data", [b"", b"{", b"\0" * 100, b'{"facts": 5}', b'{"unknown": "\\ud800"}', b"[" * 5000])
def test_a_result_that_cannot_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    start = subprocess.Popen

    def instead(command: list[Any], **options: Any) -> Any:
        return start([sys.executable, "-c", WRITE, command[-1], data.hex()], **options)

    monkeypatch.setattr(subprocess, "Popen", instead)
    job = LocalJob(tmp_path / "job")
    job.submit(Path(sys.executable), Spec(task="pin"), {"PATH": "/usr/bin:/bin"})
    with pytest.raises(Corrupt, match=r"result\.json cannot be read: .*; clear the task") as told:
        job.wait(lambda line: None)
    assert str(told.value).isprintable()
