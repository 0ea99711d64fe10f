"""The JSON records that tasks hand on through the store and job folders: each is read back, or refused by its name.

The first byte chooses which record the rest is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.checkpoint.analysis import Analysis
from tasks.contract import Result, Spec
from tasks.errors import InvalidRecipe
from tasks.evaluation.measurement import Evaluation
from tasks.evaluation.reference_files import Chats, Generations, ParityTexts, ReferenceInfo, read_part
from tasks.gates.verdict import Verdict
from tasks.manifest import manifest_name
from tasks.model import Model, explain
from tasks.release.current import Current, read_current
from tasks.release.record import Release, read_release
from tasks.source.parameters import PinParameters
from tasks.source.scan_record import ScanRecord
from tasks.store.artifacts import read_manifest
from tasks.store.local import LocalStore
from tests.fuzz.target import Target

KEY = "0" * 64
REPOSITORY = "acme/tiny"


def _stored(name: str, read: Callable[[LocalStore], Model]) -> Callable[[bytes, Path], Model]:
    def parse(data: bytes, folder: Path) -> Model:
        store = LocalStore(folder / "store")
        store.put_bytes(name, data)
        return read(store)

    return parse


def _part(kind: type[Model]) -> Callable[[bytes, Path], Model]:
    def parse(data: bytes, folder: Path) -> Model:
        (folder / "part.json").write_bytes(data)
        return read_part(folder, "part.json", kind)

    return parse


def _plain(kind: type[Model]) -> Callable[[bytes, Path], Model]:
    def parse(data: bytes, _: Path) -> Model:
        try:
            return kind.from_json(data)
        except ValidationError as error:
            raise InvalidRecipe(f"{explain(error, kind)}.") from error

    return parse


RECORDS: dict[str, tuple[type[Model] | None, Callable[[bytes, Path], Any]]] = {
    "m": (None, _stored(manifest_name(KEY), lambda store: read_manifest(store, KEY))),
    "r": (Release, _stored("releases/x.json", lambda store: read_release(store, "releases/x.json"))),
    "c": (Current, _stored("releases/acme--tiny/current.json", lambda store: read_current(store, REPOSITORY))),
    "i": (ReferenceInfo, _part(ReferenceInfo)),
    "g": (Generations, _part(Generations)),
    "p": (ParityTexts, _part(ParityTexts)),
    "t": (Chats, _part(Chats)),
    "s": (Spec, _plain(Spec)),
    "e": (Result, _plain(Result)),
    "v": (Verdict, _plain(Verdict)),
    "n": (Evaluation, _plain(Evaluation)),
    "a": (Analysis, _plain(Analysis)),
    "k": (ScanRecord, _plain(ScanRecord)),
    "q": (PinParameters, _plain(PinParameters)),
}


def parse(data: bytes, folder: Path) -> None:
    _, read = RECORDS.get(data[:1].decode("latin-1"), RECORDS["m"])
    value = read(data[1:], folder)
    assert type(value).from_json(value.to_json()) == value
    if data[:1] == b"m":
        assert value.prefix.startswith(f"artifacts/{KEY}/") and ".." not in value.prefix
        assert all(folder in (folder / entry.path).resolve().parents for entry in value.files)


TARGET = Target(
    parse=parse,
    measured={
        "tasks/model.py": ["Model", "explain"],
        "tasks/manifest.py": ["FileEntry", "Manifest._sorted_and_unique"],
        "tasks/store/artifacts.py": ["read_manifest"],
        "tasks/release/record.py": ["read_release"],
        "tasks/release/current.py": ["read_current"],
        "tasks/evaluation/reference_files.py": ["read_part"],
        "tasks/gates/verdict.py": ["Rule"],
    },
    runs=15_000,
    floor=80,
    prefix=1,
    json=True,
    words=(KEY, "1e999", "null", "2026-11-23T01:00:00Z"),
)
