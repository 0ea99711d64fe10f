"""The lines of a text for evaluation or calibration: what is kept can be read by all that use it."""

import hashlib
from pathlib import Path

import tasks.evaluation.text as text
from tasks.errors import Corrupt
from tasks.evaluation.reference_windows import read_records
from tasks.evaluation.text_definition import TextParameters
from tasks.formats.gguf.imatrix import write_text
from tests.fixtures.context import FolderContext
from tests.fuzz.target import Target


def prepare(folder: Path) -> None:
    setattr(text, "REPOSITORY", folder)
    (folder / "output").mkdir(exist_ok=True)


def parse(data: bytes, folder: Path) -> None:
    (folder / "given.jsonl").write_bytes(data)
    output = folder / "output"
    parameters = TextParameters(path="given.jsonl", sha256=hashlib.sha256(data).hexdigest())
    facts = text.keep_text(parameters, FolderContext(folders={}, output=output, scratch=folder))
    try:
        assert len(read_records(output)) == facts["records"]
        assert write_text(output / "text.jsonl", folder / "calibration.txt") == facts["records"]
    except Corrupt as error:
        raise AssertionError(f"what was kept is refused later: {error}") from error


TARGET = Target(
    parse=parse,
    prepare=prepare,
    measured={
        "tasks/evaluation/text.py": [],
        "tasks/evaluation/reference_windows.py": ["read_records"],
        "tasks/formats/gguf/imatrix.py": ["write_text"],
    },
    runs=15_000,
    floor=83,
    json=True,
    words=('"text"', '"prompt"', '"answer"', '"choices"', "\\ud800", "\\u2028", "\u2028", "\n", "\r", "\x0b", "\x1c"),
)
