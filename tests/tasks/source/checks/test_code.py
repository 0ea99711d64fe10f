"""Custom code passes only for the repository and commit that the recipe names, and only when it is there."""

from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused
from tasks.source.checks.code import check_code
from tasks.source.parameters import ScanParameters
from tests.fixtures.checkpoints import make_checkpoint, write_json

COMMIT = "a" * 40


def check(folder: Path, *allowed: tuple[str, str]) -> tuple[str, bool]:
    code = [{"repository": repository, "commit": commit} for repository, commit in allowed]
    parameters = ScanParameters.model_validate({"repository": "a/b", "commit": COMMIT, "code": code})
    return check_code(Snapshot(folder), parameters)


def with_code(tmp_path: Path, reference: Any = "modeling_x.Model") -> Path:
    folder = make_checkpoint(tmp_path, config={"auto_map": {"AutoModelForCausalLM": reference}})
    (folder / "modeling_x.py").write_text("class Model: ...\n")
    return folder


def test_no_code(tmp_path: Path) -> None:
    assert check(make_checkpoint(tmp_path))[1] is False


def test_the_refusal_gives_the_line_that_allows_it(tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=rf"config.json: auto_map names .*\(modeling_x.Model\).*repository: a/b, commit: {COMMIT}"
    ):
        check(with_code(tmp_path))


@pytest.mark.parametrize("allowed", [("a/b", "b" * 40), ("a/c", COMMIT)])
def test_another_commit_or_repository_is_not_allowed(tmp_path: Path, allowed: tuple[str, str]) -> None:
    with pytest.raises(Refused):
        check(with_code(tmp_path), allowed)


def test_allowed_code_passes(tmp_path: Path) -> None:
    detail, applicable = check(with_code(tmp_path), ("a/b", COMMIT))
    assert applicable and "modeling_x.Model" in detail


def test_allowed_code_must_be_there(tmp_path: Path) -> None:
    folder = with_code(tmp_path)
    (folder / "modeling_x.py").unlink()
    with pytest.raises(Corrupt, match="the file modeling_x.py is missing"):
        check(folder, ("a/b", COMMIT))


def test_code_of_another_repository_is_never_allowed(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="another repository"):
        check(with_code(tmp_path, "c/d--modeling_x.Model"), ("a/b", COMMIT))


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("modeling_x", "'modeling_x'"),
        ("../modeling_x.Model", r"'\.\./modeling_x\.Model'"),
        ("/tmp/modeling_x.Model", "'/tmp/modeling_x.Model'"),
        ("modeling_x.Model\n", r"'modeling_x\.Model\\n'"),
        ("-" * 300, "'-{200}'"),
    ],
)
def test_allowed_code_must_be_a_class(tmp_path: Path, reference: str, named: str) -> None:
    with pytest.raises(Corrupt, match=rf"config\.json: auto_map names {named}, which is not a class"):
        check(with_code(tmp_path, reference), ("a/b", COMMIT))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": [None, "tokenization_x.Fast"]}}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "p.P"}}),
        ("config.json", {"text_config": {"auto_map": {"AutoConfig": "c.C"}}}),
        ("config.json", {"parts": [{"auto_map": {"AutoConfig": "c.C"}}]}),
    ],
)
def test_code_hides_in_other_files_and_depths(tmp_path: Path, file: str, content: dict[str, Any]) -> None:
    folder = make_checkpoint(tmp_path)
    write_json(folder / file, content)
    with pytest.raises(Refused, match=file):
        check(folder)


def test_files_that_no_loader_reads_are_not_searched(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "original").mkdir()
    write_json(folder / "original" / "config.json", {"auto_map": {"AutoConfig": "c.C"}})
    assert check(folder)[1] is False
