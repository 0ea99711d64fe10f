"""A manifest says the same thing for ever: its text form, its inverse, and the digest that verdicts are bound to."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.contract import Result
from tasks.manifest import Cost, FileEntry, Manifest, manifest_name
from tasks.model import digest_of, explain

GOLDEN = """{
 "attempt": "one",
 "cost": {
  "bytes_read": 0,
  "bytes_written": 0,
  "cpu_seconds": 0.0,
  "peak_memory_bytes": 0,
  "wall_seconds": 1.5
 },
 "created": "2026-01-02T03:04:05Z",
 "facts": {},
 "files": [
  {
   "path": "a/späße 🙂",
   "sha256": "2222222222222222222222222222222222222222222222222222222222222222",
   "size": 0
  },
  {
   "path": "b",
   "sha256": "3333333333333333333333333333333333333333333333333333333333333333",
   "size": 7
  }
 ],
 "inputs": {},
 "key": "1111111111111111111111111111111111111111111111111111111111111111",
 "kind": "test",
 "parameters": {},
 "schema": 1,
 "versions": {}
}
"""
FILES = (FileEntry(path="b", size=7, sha256="3" * 64), FileEntry(path="a/späße 🙂", size=0, sha256="2" * 64))


def manifest(**changed: Any) -> Manifest:
    fields: dict[str, Any] = {"key": "1" * 64, "attempt": "one", "kind": "test", "files": FILES}
    created = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Manifest(**{**fields, "created": created, "cost": Cost(wall_seconds=1.5), **changed})


def test_the_text_is_what_it_always_was() -> None:
    assert manifest().to_json() == GOLDEN
    assert Manifest.from_json(GOLDEN) == manifest()
    assert Manifest.from_json(GOLDEN.replace(' "schema": 1,\n', "")) == manifest(), "as written before it had a version"


def test_the_digest_of_its_files_is_what_it_always_was() -> None:
    assert manifest().files_digest == "3dbecc32400d8e23ec028fd731d95db0cca426a7d3da2dee62a8b2636b63d8ef"


PATHS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1), min_size=1)


@given(
    PATHS.map("/".join).filter(lambda path: path.isprintable() and not {".", ".."} & set(path.split("/"))),
    st.integers(0, 2**63),
)
def test_any_entry_comes_back_from_its_text(path: str, size: int) -> None:
    entry = FileEntry(path=path, size=size, sha256="a" * 64)
    assert FileEntry.from_json(entry.to_json()) == entry


def test_files_have_one_order_and_are_found_by_path() -> None:
    assert manifest(files=FILES) == manifest(files=FILES[::-1])
    assert manifest().file("b") == FILES[0] and manifest().size == 7
    assert manifest().prefix == f"artifacts/{'1' * 64}/one/" and manifest_name("1" * 64) == f"artifacts/{'1' * 64}.json"
    with pytest.raises(KeyError):
        manifest().file("c")


@pytest.mark.parametrize(
    "changed",
    [{"size": 8}, {"path": "c"}, {"sha256": "4" * 64}],
    ids=", ".join,
)
def test_the_digest_covers_path_size_and_content_and_nothing_else(changed: dict[str, Any]) -> None:
    files = (FILES[0].model_copy(update=changed), FILES[1])
    assert manifest(files=files).files_digest != manifest().files_digest
    assert manifest(attempt="two", facts={"x": 1}, key="5" * 64).files_digest == manifest().files_digest


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"key": "x"}, "key: "),
        ({"files": (FILES[0], FILES[0])}, "files: two files of one artifact have the same path"),
        ({"more": 1}, "there is no field 'more'"),
        ({"cost": {"wall_seconds": float("nan")}}, "cost.wall_seconds: "),
    ],
    ids=lambda value: "" if isinstance(value, str) else ", ".join(value),
)
def test_what_is_wrong_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        manifest(**changed)
    assert explain(refused.value, Manifest).startswith(said)


def test_nothing_is_changed_once_made() -> None:
    with pytest.raises(ValidationError):
        manifest().kind = "other"  # type: ignore[misc]


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])
    with pytest.raises(ValueError, match="Out of range"):
        digest_of(float("inf"))


@pytest.mark.parametrize("facts", ['{"x": Infinity}', '{"x": [{"y": NaN}]}', '{"x": -1e999}'])
def test_a_fact_that_is_no_finite_number_is_refused(facts: str) -> None:
    with pytest.raises(ValidationError, match="facts"):
        Result.from_json(f'{{"facts": {facts}}}')
    assert Result.from_json('{"facts": {"x": [1e9, {"y": -0.5}]}}').facts == {"x": [1e9, {"y": -0.5}]}


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../b", "./a", "", "a\\b", "a//b", "a\nb"])
def test_an_entry_leads_nowhere_else(path: str) -> None:
    with pytest.raises(ValidationError, match="must be relative"):
        FileEntry(path=path, size=0, sha256="1" * 64)


def test_a_path_is_a_file_or_a_folder() -> None:
    both = tuple(FileEntry(path=path, size=0, sha256="1" * 64) for path in ("a/b/c", "a/b"))
    with pytest.raises(ValidationError, match="'a/b' is both a file and a folder of the artifact"):
        manifest(files=both)
