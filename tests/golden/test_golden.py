"""Records of every version are read for ever: a golden file of each kind, written by real tasks, never changed.

    tests/golden/KIND/vN/NAME.json

`before-schema-*.json` were written by the version before records had the field `schema`; they count as version 1.
`make.py` writes new ones.
"""

import ast
import json
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.errors import Corrupt, TooNew
from tasks.evaluation.control import ControlComparison
from tasks.evaluation.measurement import Benchmark, Evaluation, WindowDivergences
from tasks.evaluation.reference_files import Chats, Generations, ParityTexts, ReferenceInfo, ServedCases
from tasks.gates.verdict import Verdict
from tasks.integrity.record import Integrity
from tasks.manifest import Manifest
from tasks.model import json_text
from tasks.plan.plan import Plan
from tasks.records import Record
from tasks.release.current import Current
from tasks.release.record import Release
from tasks.settings import REPOSITORY
from tasks.source.scan_record import ScanRecord

GOLDEN = Path(__file__).parent
VALUES: dict[str, dict[str, Any]] = json.loads((GOLDEN / "values.json").read_text(encoding="utf-8"))
"""Per golden file: paths of fields, keys and places, and the value that every reader must find there."""

KINDS: dict[str, type[Record]] = {
    "analysis": Analysis,
    "benchmark": Benchmark,
    "chats": Chats,
    "control": ControlComparison,
    "current": Current,
    "evaluation": Evaluation,
    "generations": Generations,
    "integrity": Integrity,
    "manifest": Manifest,
    "parity": ParityTexts,
    "plan": Plan,
    "reference": ReferenceInfo,
    "release": Release,
    "scan": ScanRecord,
    "served": ServedCases,
    "verdict": Verdict,
    "windows": WindowDivergences,
}
LATER = {"served", "integrity", "control", "windows"}
"""Kinds that were first written when records already had the field `schema`."""

FILES = sorted(path.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("*/v*/*.json"))


def kind_of(file: str) -> type[Record]:
    return KINDS[file.split("/")[0]]


def text_of(file: str) -> str:
    return (GOLDEN / file).read_text(encoding="utf-8")


def at(record: Any, path: str) -> Any:
    """Return the value at a path of fields, keys and places, such as `targets/0/metrics/kld_mean/value`."""

    def step(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return value[name]
        return value[int(name)] if isinstance(value, tuple | list) else getattr(value, name)

    return reduce(step, path.split("/"), record)


def classes_of_records() -> set[str]:
    """Return the names of all subclasses of Record in `tasks`, found without importing any."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for source in (REPOSITORY / "tasks").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    found = {"Record"}
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return found - {"Record"}


def test_every_kind_of_record_has_golden_files_of_all_its_versions() -> None:
    assert classes_of_records() == {kind.__name__ for kind in KINDS.values()}
    for name, kind in KINDS.items():
        versions = {file.split("/")[1] for file in FILES if file.startswith(f"{name}/")}
        assert versions == {f"v{version}" for version in range(1, kind.SCHEMA + 1)}, name
        before = [file for file in FILES if file.startswith(f"{name}/v1/before-schema-")]
        assert bool(before) != (name in LATER), name


@pytest.mark.parametrize("file", FILES)
def test_every_golden_file_is_read(file: str) -> None:
    record = kind_of(file).read(text_of(file), file)
    assert VALUES[file], "each file has values to compare with"
    assert {path: at(record, path) for path in VALUES[file]} == VALUES[file]
    assert kind_of(file).from_json(record.to_json()) == record


@pytest.mark.parametrize(
    "file", [file for file in FILES if f"/v{kind_of(file).SCHEMA}/" in file and "/before-schema-" not in file]
)
def test_what_this_version_writes_is_what_its_golden_files_hold(file: str) -> None:
    """A field that is added, renamed or removed fails here: the record needs a new version."""
    text = text_of(file)
    assert kind_of(file).from_json(text).to_json() == text


def test_the_text_is_the_same_for_every_reader_of_json() -> None:
    """Sorted keys, an indent of one, a line end: what others wrote scripts for."""
    for file in FILES:
        assert text_of(file) == json_text(json.loads(text_of(file))), file


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_newer_version_is_refused_by_name_and_not_as_corrupt(kind: type[Record]) -> None:
    with pytest.raises(TooNew) as refused:
        kind.read('{"schema": 7, "unknown": []}', "The record x")
    known = f"version {kind.SCHEMA}{' and earlier ones' if kind.SCHEMA > 1 else ''}"
    assert str(refused.value) == (
        f"The record x has schema version 7, but this checkout reads only {known}; update this checkout."
    )


@pytest.mark.parametrize("version", ["0", "-1", "null", "true", "1.5", '"1"'])
def test_what_is_no_version_is_corrupt(version: str) -> None:
    with pytest.raises(Corrupt, match="schema is .*, which is not a version number"):
        Current.read(f'{{"schema": {version}, "repository": "a/b"}}', "The record x")
