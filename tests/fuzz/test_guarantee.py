"""The guarantee itself: what no parser may do is seen, and what it may do is not."""

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import Corrupt
from tests.fuzz.guarantee import Broken, check, check_sentence

Parser = Callable[[bytes, Path], None]


class Runs:
    """What a hostile pickle is: loading it calls something."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("true",)


def run(data: bytes, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def execute(data: bytes, folder: Path) -> None:
    exec(data)


def load(data: bytes, folder: Path) -> None:
    pickle.loads(pickle.dumps(Runs()))


def connect(data: bytes, folder: Path) -> None:
    with socket.socket() as made:
        made.connect(("127.0.0.1", 9))


def open_elsewhere(data: bytes, folder: Path) -> None:
    (folder / "../elsewhere").write_bytes(data)


def follow(data: bytes, folder: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "link").read_bytes()


@pytest.mark.parametrize(
    "parse", [run, execute, load, connect, open_elsewhere, follow], ids=lambda parse: parse.__name__
)
def test_what_no_parser_may_do_is_seen(parse: Parser, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Broken, match="opens|does what no parser may"):
        check(parse, b"1", tmp_path / "folder")
    assert not (tmp_path / "elsewhere").exists()


def test_another_error_is_passed_on(tmp_path: Path) -> None:
    def stumble(data: bytes, folder: Path) -> None:
        raise KeyError("dtype")

    with pytest.raises(KeyError):
        check(stumble, b"", tmp_path)


def test_values_and_refusals_are_answers(tmp_path: Path) -> None:
    def parse(data: bytes, folder: Path) -> None:
        (folder / "file").write_bytes(data)
        if data:
            raise Corrupt("file is not empty; make it again.")

    assert check(parse, b"", tmp_path)
    assert not check(parse, b"1", tmp_path)


@pytest.mark.parametrize("said", ["", "two\nlines.", "\x1b[31mred.", "half \ud800.", "x" * 3000 + ".", "no end"])
def test_what_is_no_sentence_is_seen(said: str) -> None:
    with pytest.raises(Broken):
        check_sentence(said)
    check_sentence("model.safetensors: it has 3 bytes, too few for a header; fetch the file again.")
