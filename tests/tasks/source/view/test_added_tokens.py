"""The view's tokenizer.json has every added token that transformers holds, with its flags and in the order of ids."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE

from tasks.checkpoint.snapshot import Snapshot
from tasks.source.view.added_tokens import FLAGS, complete_added_tokens

NONE = dict.fromkeys(FLAGS, False)


def complete(folder: Path, listed: list[dict[str, Any]] | None, held: list[AddedToken]) -> list[dict[str, Any]]:
    """Complete a file that lists tokens by what a tokenizer holds, and return what the file lists then."""
    (folder / "source").mkdir()
    backend = Tokenizer(BPE({"a": 0, "<mask>": 1}, []))
    backend.add_tokens(held)
    content = {**json.loads(Tokenizer(BPE({"a": 0, "<mask>": 1}, [])).to_str()), "added_tokens": listed}
    for name in ("source", "view"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "tokenizer.json").write_text(json.dumps(content))
    complete_added_tokens(Snapshot(folder / "source"), folder / "view", SimpleNamespace(backend_tokenizer=backend))
    found: list[dict[str, Any]] = json.loads((folder / "view" / "tokenizer.json").read_text())["added_tokens"]
    return found


def test_a_token_that_is_special_to_transformers_is_special_in_the_file(tmp_path: Path) -> None:
    """Gemma's `<mask>` is ordinary in tokenizer.json."""
    listed = {"id": 1, "content": "<mask>", **NONE, "normalized": True}
    (token,) = complete(tmp_path, [listed], [AddedToken("<mask>", special=True, normalized=True)])
    assert token == {**listed, "special": True}


def test_a_token_that_only_transformers_holds_is_added_with_its_flags_by_its_id(tmp_path: Path) -> None:
    listed = {"id": 3, "content": "<last>", **NONE, "special": True}
    held = [
        AddedToken("<pad>", special=True, normalized=False, lstrip=True),
        AddedToken("<last>", special=True, normalized=False),
    ]
    added = complete(tmp_path, [listed], held)
    assert added == [{"id": 2, "content": "<pad>", **NONE, "special": True, "lstrip": True}, listed]
    assert Tokenizer.from_file(str(tmp_path / "view" / "tokenizer.json")).token_to_id("<pad>") == 2


def test_a_file_that_lists_them_all_keeps_its_bytes(tmp_path: Path) -> None:
    listed = [{"id": 1, "content": "<mask>", **NONE, "special": True}]
    assert complete(tmp_path, listed, [AddedToken("<mask>", special=False, normalized=False)]) == listed
    files = [tmp_path / name / "tokenizer.json" for name in ("source", "view")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_token_that_is_ordinary_to_both_or_that_transformers_lacks_stays_as_it_is(tmp_path: Path) -> None:
    listed = [{"id": 1, "content": "<mask>", **NONE}, {"id": 9, "content": "<file>", **NONE}]
    assert complete(tmp_path, listed, [AddedToken("<mask>", special=False, normalized=False)]) == listed


def test_a_file_without_a_list_gets_one(tmp_path: Path) -> None:
    (token,) = complete(tmp_path, None, [AddedToken("<pad>", normalized=False)])
    assert token == {"id": 2, "content": "<pad>", **NONE}


def test_without_a_file_or_a_backend_nothing_is_written(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path)
    complete_added_tokens(snapshot, tmp_path, SimpleNamespace(backend_tokenizer=Tokenizer(BPE())))
    assert not list(tmp_path.iterdir())
    (tmp_path / "tokenizer.json").write_text("{}")
    for loaded in (None, SimpleNamespace()):
        complete_added_tokens(snapshot, tmp_path, loaded)
    assert (tmp_path / "tokenizer.json").read_text() == "{}"
