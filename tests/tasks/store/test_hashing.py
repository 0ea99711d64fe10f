"""What goes through a reader or a writer is hashed once, and its entry says how much it was."""

import hashlib
from io import BytesIO

from tasks.manifest import FileEntry
from tasks.store.hashing import BLOCK, HashingReader, HashingWriter, copy_blocks, copy_hashed

DATA = bytes(range(256)) * (BLOCK // 128) + b"rest"
ENTRY = FileEntry(path="a/b", size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())


def test_a_reader_gives_what_it_hashes() -> None:
    reader = HashingReader(BytesIO(DATA))
    assert reader.entry("a/b") == FileEntry(path="a/b", size=0, sha256=hashlib.sha256().hexdigest())
    assert reader.read(3) + reader.read() == DATA
    assert reader.read() == b"" and reader.entry("a/b") == ENTRY


def test_a_writer_writes_what_it_hashes() -> None:
    raw = BytesIO()
    writer = HashingWriter(raw)
    copy_blocks(BytesIO(DATA), writer)
    assert writer.write(b"") == 0 and writer.entry("a/b") == ENTRY
    copied = BytesIO()
    assert copy_hashed(BytesIO(DATA), copied, "a/b") == ENTRY
    assert raw.getvalue() == copied.getvalue() == DATA
