"""What a local folder and an S3 bucket both promise."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import HallmarkError, NotFound
from tasks.manifest import FileEntry
from tasks.settings import REPOSITORY
from tasks.store.base import ObjectStat, Store

ODD_NAMES = [
    "a b/c d",
    "plus+and%25",
    "question?x=1&y=#z",
    "späße/日本語/🙂.json",
    "deep/er/and/deep/er",
    ".hidden",
    "x~$@=;:,",
]
HOSTILE_NAMES = [
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a//b",
    "a/./b",
    "a/",
    "..",
    "nul\0byte",
    "line\nbreak",
]


def entry(name: str, data: bytes) -> FileEntry:
    return FileEntry(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_what_is_put_comes_back_with_its_digest(store: Store, tmp_path: Path, name: str) -> None:
    data = f"of {name}".encode()
    assert store.put_bytes(name, data) == entry(name, data)
    assert store.get_bytes(name) == data
    assert store.get_file(name, tmp_path / "back") == entry(name, data)
    assert (tmp_path / "back").read_bytes() == data
    assert store.stat(name) == ObjectStat(name, len(data))
    assert list(store.list("")) == [ObjectStat(name, len(data))]


@pytest.mark.parametrize("size", [0, 1, 3 * 2**20 + 1])
def test_a_file_is_sent_as_it_is(store: Store, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    data = source.read_bytes()
    assert store.put_file("folder/file", source) == entry("folder/file", data)
    assert store.get_bytes("folder/file") == data


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_leads_elsewhere_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    calls: list[Callable[[], object]] = [
        lambda: store.put_bytes(name, b"x"),
        lambda: store.put_file(name, source),
        lambda: store.get_bytes(name),
        lambda: store.get_file(name, tmp_path / "back"),
        lambda: store.stat(name),
        lambda: store.delete(name),
    ]
    for call in calls:
        with pytest.raises(NotFound, match="is no name of an object"):
            call()
    assert list(store.list("")) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"source", "store"}


@pytest.mark.parametrize("prefix", ["../", "/", "a/../../"])
def test_a_list_does_not_lead_out(store: Store, prefix: str) -> None:
    with pytest.raises(NotFound, match="is no prefix"):
        list(store.list(prefix))


def test_what_is_missing_is_named(store: Store, tmp_path: Path) -> None:
    for call in (lambda: store.get_bytes("a/b"), lambda: store.get_file("a/b", tmp_path / "back")):
        with pytest.raises(NotFound, match="a/b"):
            call()
    assert store.stat("a/b") is None
    assert not (tmp_path / "back").exists()
    store.delete("a/b")


def test_a_folder_is_no_object(store: Store) -> None:
    store.put_bytes("a/b", b"x")
    assert store.stat("a") is None
    with pytest.raises(NotFound):
        store.get_bytes("a")
    assert list(store.list("a/b/")) == []


def test_a_list_has_the_names_that_start_so_in_order(store: Store) -> None:
    for name in ("b/1", "a/2", "a/10", "ab", "a.x", "a/deep/er", "a-"):
        store.put_bytes(name, b"x")
    assert [found.name for found in store.list("")] == ["a-", "a.x", "a/10", "a/2", "a/deep/er", "ab", "b/1"]
    assert [found.name for found in store.list("a/")] == ["a/10", "a/2", "a/deep/er"]
    assert [found.name for found in store.list("a")] == ["a-", "a.x", "a/10", "a/2", "a/deep/er", "ab"]
    assert [found.name for found in store.list("a/1")] == ["a/10"]
    assert list(store.list("nothing/here/")) == []


def test_more_than_a_page_is_listed(store: Store) -> None:
    # S3 answers 1000 names a page; the page is made smaller rather than the test longer.
    if client := getattr(store, "_client", None):
        client.meta.events.register("provide-client-params.s3.ListObjectsV2", _three_a_page)
    names = [f"many/{number:02}" for number in range(8)]
    for name in names:
        store.put_bytes(name, b"")
    assert [found.name for found in store.list("many/")] == names


def _three_a_page(params: dict[str, object], **_: object) -> dict[str, object]:
    return {**params, "MaxKeys": 3}


def test_what_is_deleted_is_gone_and_its_neighbour_is_not(store: Store) -> None:
    store.put_bytes("a/b", b"x")
    store.put_bytes("a/c", b"y")
    store.delete("a/b")
    assert store.stat("a/b") is None
    assert [found.name for found in store.list("")] == ["a/c"]


def test_an_address_is_the_stores_and_the_name(store: Store) -> None:
    store.put_bytes("a/b", b"x")
    assert store.uri("a/b") == f"{store.url}/a/b"
    assert store.url.startswith(("file:///", "s3://"))


def test_a_put_replaces_the_whole(store: Store) -> None:
    store.put_bytes("name", b"a longer one before")
    store.put_bytes("name", b"short")
    assert store.get_bytes("name") == b"short"


def test_a_put_that_breaks_half_way_leaves_what_was(store: Store, tmp_path: Path) -> None:
    store.put_bytes("name", b"before")
    source = tmp_path / "source"
    source.write_bytes(b"x" * 5 * 2**20)
    with pytest.MonkeyPatch.context() as patch:
        break_reading(patch, after=2 * 2**20)
        with pytest.raises((OSError, HallmarkError), match="planted"):
            store.put_file("name", source)
        with pytest.raises((OSError, HallmarkError), match="planted"):
            store.put_file("new", source)
    assert store.get_bytes("name") == b"before"
    assert list(store.list("")) == [ObjectStat("name", 6)]


def break_reading(patch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk fail, as seen by whoever hashes: the bytes are read through one of these two."""
    from tasks.store import hashing

    for method, kind in (("read", hashing.HashingReader), ("write", hashing.HashingWriter)):
        whole = getattr(kind, method)

        def broken(self: hashing.HashingReader, *arguments: object, whole: Callable[..., object] = whole) -> object:
            if self.size >= after:
                raise OSError("planted fault")
            return whole(self, *arguments)

        patch.setattr(kind, method, broken)


def test_a_reader_sees_one_version_or_the_other(store: Store) -> None:
    versions = {bytes([number]) * 200_000 for number in range(1, 4)}
    store.put_bytes("name", next(iter(versions)))
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(store.get_bytes("name"))

    reader = threading.Thread(target=read)
    reader.start()
    for version in sorted(versions) * 5:
        store.put_bytes("name", version)
    done.set()
    reader.join()
    assert seen <= versions


@pytest.mark.parametrize("size", [1000, 3 * 2**20])
def test_the_bytes_of_a_file_are_read_once(store: Store, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * size)
    reads = CountingPath(source)
    store.put_file("name", reads)
    assert reads.bytes_read == size


class CountingPath(type(Path())):  # type: ignore[misc]
    """A path that counts the bytes read of its file through it."""

    bytes_read = 0

    def open(self, *arguments: object, **options: object) -> object:
        raw = super().open(*arguments, **options)
        counted, path = raw.read, self

        class Counting:
            def __enter__(self) -> "Counting":
                return self

            def __exit__(self, *_: object) -> None:
                raw.close()

            def read(self, count: int = -1) -> bytes:
                data = bytes(counted(count))
                path.bytes_read += len(data)
                return data

        return Counting()


BOTH_WAYS = """
import os, sys
from pathlib import Path
from tasks.store.open import open_store
store = open_store()
sent = store.put_file("large", Path(sys.argv[1]))
assert store.get_file("large", Path(os.devnull)) == sent
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_a_large_file_is_never_in_memory_as_a_whole(shared: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as target:
        target.truncate(450 * 2**20)
    done = subprocess.run(
        [sys.executable, "-c", BOTH_WAYS, source], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 300 * 2**20
    shared.delete("large")
