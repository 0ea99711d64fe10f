"""Names of objects, files, models and stores: what is taken stays below its root."""

from pathlib import Path

from pydantic import ValidationError

from tasks.errors import HallmarkError, InvalidRecipe
from tasks.manifest import FileEntry
from tasks.model import explain
from tasks.release.naming import registered_name
from tasks.source.hub import check_path
from tasks.store.names import check_name, check_prefix
from tasks.store.open import open_store
from tests.fuzz.target import Target


def parse(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    # Sentences, not errors: an error's traceback holds this frame, and pydantic's holds one of its validator's that
    # Python's garbage collector does not see, so that errors which this frame held in turn would never be freed.
    refusals: list[str] = []
    for taken in (_object, _prefix, _file, _entry, _model, _store):
        try:
            taken(text, folder)
        except HallmarkError as error:
            refusals.append(str(error))
    if refusals:
        # Each was a sentence of its own; all are looked at in turn.
        raise HallmarkError(max(refusals, key=lambda said: (not said.isprintable(), len(said))))


def _object(text: str, folder: Path) -> None:
    check_name(text, "file:///store")
    assert folder in (folder / text).parents and ".." not in Path(text).parts
    text.encode()


def _prefix(text: str, folder: Path) -> None:
    check_prefix(text, "file:///store")
    assert folder in (folder / text / "x").parents and ".." not in Path(text).parts[:-1]


def _file(text: str, folder: Path) -> None:
    check_path("acme/tiny", text)
    assert folder in (folder / text).parents and ".." not in Path(text).parts


def _entry(text: str, folder: Path) -> None:
    try:
        entry = FileEntry(path=text, size=0, sha256="0" * 64)
    except ValidationError as error:
        raise InvalidRecipe(f"{explain(error, FileEntry)}.") from error
    assert folder in (folder / entry.path).parents and ".." not in Path(entry.path).parts


def _model(text: str, _: Path) -> None:
    name = registered_name(text, "acme/tiny", "gguf-q8_0")
    assert name.isprintable() and not set(name) & set("/:@'\"%?#\\ ") and "gguf-q8_0" in name


def _store(text: str, folder: Path) -> None:
    if not text.startswith("s3:"):
        open_store(text.replace("/store", str(folder)) or "?")


TARGET = Target(
    parse=parse,
    measured={
        "tasks/store/names.py": [],
        "tasks/store/open.py": [],
        "tasks/release/naming.py": [],
        "tasks/manifest.py": ["FileEntry"],
        "tasks/source/hub.py": ["check_path"],
    },
    runs=20_000,
    floor=87,
    words=(
        "..",
        "/",
        "\\",
        "{target}",
        "{owner}",
        "{name}",
        "{name!r:>{target}}",
        "{target.__class__}",
        "file://",
        "artifacts/",
        "%2e",
        "[::1",
    ),
    longest=300,
)
