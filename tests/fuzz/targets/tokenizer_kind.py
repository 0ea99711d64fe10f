"""tokenizer.json: its kind, as analysis sees it. (Whether it loads is asked in a process of its own, of a library.)"""

from pathlib import Path

from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.tokenizer_kind import tokenizer_kind
from tests.fuzz.target import Target


def parse(data: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(data)
    tokenizer_kind(Snapshot(folder))


TARGET = Target(
    parse=parse,
    measured={
        "tasks/checkpoint/tokenizer_kind.py": ["_kind_of", "_uses_bytes"],
        "tasks/checkpoint/snapshot.py": ["Snapshot.json", "_is_deeper", "_inside"],
    },
    runs=10_000,
    floor=90,
    json=True,
    words=('"model"', '"type"', '"BPE"', '"Unigram"', '"WordPiece"', '"ByteLevel"', '"pre_tokenizer"', '"Sequence"'),
)
