"""The text that everything is measured on is kept as it is, and refused where a line of it is wrong."""

import hashlib
import json
from pathlib import Path

import pytest

from tasks.errors import Corrupt, InvalidRecipe
from tasks.evaluation import text
from tasks.evaluation.reference_windows import read_records
from tasks.evaluation.text import keep_text
from tasks.evaluation.text_definition import TextParameters
from tasks.formats.gguf.imatrix import write_text
from tests.fixtures.context import FolderContext, make_context

GOOD = {"id": "1", "kind": "fact", "text": "Ada keeps bees.", "prompt": "Ada keeps", "answer": " bees"}


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(text, "REPOSITORY", tmp_path / "repository")
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository"


@pytest.fixture
def context(tmp_path: Path) -> FolderContext:
    return make_context(tmp_path / "work")


def parameters(repository: Path, data: bytes, path: str = "text.jsonl") -> TextParameters:
    (repository / path).write_bytes(data)
    return TextParameters(path=path, sha256=hashlib.sha256(data).hexdigest())


def test_a_text_is_kept_byte_for_byte(repository: Path, context: FolderContext) -> None:
    data = (json.dumps(GOOD) + "\n" + json.dumps({"text": "späße"}, ensure_ascii=False) + "\n").encode()
    assert keep_text(parameters(repository, data), context) == {"records": 2, "questions": 1, "bytes": len(data)}
    assert (context.output / "text.jsonl").read_bytes() == data


def test_a_text_that_changed_since_the_run_was_planned_is_refused(repository: Path, context: FolderContext) -> None:
    planned = parameters(repository, json.dumps(GOOD).encode())
    (repository / "text.jsonl").write_text(json.dumps({"text": "other"}))
    with pytest.raises(Corrupt, match=r"text\.jsonl changed after this run was planned; trigger a new run"):
        keep_text(planned, context)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", r"line 2, is not JSON .*; correct the line"),
        ('["text"]', r"line 2: a record is an object with a 'text'; correct the line"),
        ('{"text": 3}', r"line 2: a record is an object with a 'text'; correct the line"),
        ('{"text": "x", "txet": "y"}', r"line 2: unknown field 'txet'; remove it"),
        ('{"text": "\\ud800"}', r"line 2: 'text' is not a text in UTF-8; correct the line"),
        ('{"text": "x", "prompt": 1, "answer": 2}', r"line 2: 'prompt' is not a text"),
        ('{"text": "x", "prompt": "y", "answer": null}', r"line 2: 'answer' is not a text"),
        ("[" * 5000 + "]" * 5000, r"line 2, is not JSON .*; correct the line"),
        ('{"text": ' + "9" * 5000 + "}", r"line 2, is not JSON .*; correct the line"),
        ("", r"line 2, is not JSON .*; correct the line"),
        ('{"text": "x", "prompt": "y"}', r"line 2: has only one of 'prompt' and 'answer'; give both or neither"),
        ('{"text": "x", "answer": "y"}', r"line 2: has only one of 'prompt' and 'answer'; give both or neither"),
    ],
)
def test_a_wrong_line_is_named(repository: Path, context: FolderContext, line: str, said: str) -> None:
    with pytest.raises(InvalidRecipe, match=said):
        keep_text(parameters(repository, f"{json.dumps(GOOD)}\n{line}\n".encode()), context)
    assert list(context.output.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b'{"text": "  "}\n'])
def test_an_empty_text_measures_nothing(repository: Path, context: FolderContext, data: bytes) -> None:
    with pytest.raises(InvalidRecipe, match="is empty, so nothing can be measured on it; add a text"):
        keep_text(parameters(repository, data), context)


def test_a_text_of_gigabytes_is_refused_before_it_is_in_memory(repository: Path, context: FolderContext) -> None:
    with (repository / "huge.jsonl").open("wb") as file:
        file.truncate(20 * 1024**3)
    planned = TextParameters(path="huge.jsonl", sha256="0" * 64)
    with pytest.raises(InvalidRecipe, match=r"'huge\.jsonl' has more than 100000000 bytes"):
        keep_text(planned, context)


def test_a_line_as_long_as_allowed_is_kept(
    repository: Path, context: FolderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.dumps({"text": "word " * 400_000}).encode()
    monkeypatch.setattr(text, "LARGEST_BYTES", len(data))
    assert keep_text(parameters(repository, data), context)["records"] == 1
    with pytest.raises(InvalidRecipe, match="has more than"):
        keep_text(parameters(repository, data + b" "), context)


def test_what_separates_lines_for_people_only_does_not_cut_a_record(repository: Path, context: FolderContext) -> None:
    parts = "a\u2028b\u0085c"
    keep_text(parameters(repository, json.dumps({"text": parts}, ensure_ascii=False).encode()), context)
    assert [record.text for record in read_records(context.output)] == [parts]
    assert write_text(context.output / "text.jsonl", context.scratch / "calibration.txt") == 1


@pytest.mark.parametrize("path", ["../outside.jsonl", "link.jsonl"])
def test_a_text_elsewhere_is_refused(repository: Path, context: FolderContext, path: str) -> None:
    outside = repository.parent / "outside.jsonl"
    outside.write_text(json.dumps(GOOD))
    (repository / "link.jsonl").symlink_to(outside)
    with pytest.raises(InvalidRecipe, match="lies outside the repository"):
        keep_text(TextParameters(path=path, sha256=hashlib.sha256(outside.read_bytes()).hexdigest()), context)


def test_a_text_that_is_not_there_is_named(repository: Path, context: FolderContext) -> None:
    with pytest.raises(InvalidRecipe, match=r"There is no text 'gone\.jsonl'"):
        keep_text(TextParameters(path="gone.jsonl", sha256="0" * 64), context)
