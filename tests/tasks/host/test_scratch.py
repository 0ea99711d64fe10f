"""A scratch folder is its process's own, and does not outlive it for long."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.host.scratch import is_held, scratch_folder
from tasks.settings import REPOSITORY

HOLDER = """
import sys, time
from pathlib import Path
from tasks.host.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("work")
    print(folder, flush=True)
    sys.stdin.read()
"""


def holder(root: Path) -> tuple["subprocess.Popen[str]", Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, root], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_empty_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "scratch") as folder:
        assert list(folder.iterdir()) == []
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_folder_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), scratch_folder(tmp_path) as folder:
        (folder / "file").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_held_as_long_as_its_process_uses_it(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert is_held(tmp_path, folder.name)
    assert not is_held(tmp_path, folder.name)
    assert list(tmp_path.iterdir()) == [], "to ask makes no lock"


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    killed, left = holder(tmp_path)
    living, kept = holder(tmp_path)
    killed.kill()
    killed.wait()
    assert (left / "half").exists()
    with scratch_folder(tmp_path) as own:
        assert not left.exists() and not left.with_suffix(".lock").exists()
        assert (kept / "half").exists() and own not in (left, kept)
    living.communicate("")
    assert living.returncode == 0
    assert list(tmp_path.iterdir()) == []
