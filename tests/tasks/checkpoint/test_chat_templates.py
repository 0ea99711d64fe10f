"""Chat templates are found in every place where transformers looks, and the first place in its order counts."""

from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.chat_templates import find_chat_templates
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tests.fixtures.checkpoints import write_json


def found(folder: Path) -> dict[str, tuple[str, str]]:
    return find_chat_templates(Snapshot(folder))


def test_a_file_of_its_own_counts_before_the_configuration_and_chat_template_json_last(tmp_path: Path) -> None:
    assert found(tmp_path) == {}
    write_json(tmp_path / "chat_template.json", {"chat_template": "third"})
    assert found(tmp_path) == {"default": ("chat_template.json", "third")}
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": "second"})
    assert found(tmp_path) == {"default": ("tokenizer_config.json", "second")}
    (tmp_path / "chat_template.jinja").write_text("first")
    assert found(tmp_path) == {"default": ("chat_template.jinja", "first")}


def test_named_templates_are_found_in_the_list_and_in_their_folder(tmp_path: Path) -> None:
    listed = [{"name": "default", "template": "a"}, {"name": "rag", "template": "b"}]
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": listed})
    folder = tmp_path / "additional_chat_templates"
    folder.mkdir()
    (folder / "rag.jinja").write_text("c")
    (folder / "tool_use.jinja").write_text("d")
    (folder / "notes.txt").write_text("e")
    assert found(tmp_path) == {
        "default": ("tokenizer_config.json", "a"),
        "rag": ("additional_chat_templates/rag.jinja", "c"),
        "tool_use": ("additional_chat_templates/tool_use.jinja", "d"),
    }


def test_named_templates_may_be_an_object(tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": {"default": "a", "rag": "b"}})
    assert found(tmp_path) == {"default": ("tokenizer_config.json", "a"), "rag": ("tokenizer_config.json", "b")}


def test_a_default_in_the_folder_counts_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("a")
    folder = tmp_path / "additional_chat_templates"
    folder.mkdir()
    (folder / "default.jinja").write_text("b")
    assert found(tmp_path) == {"default": ("additional_chat_templates/default.jinja", "b")}


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_template_is_none(tmp_path: Path, empty: str) -> None:
    listed = [{"name": "default", "template": empty}, {"name": "rag", "template": "b"}]
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": listed})
    assert found(tmp_path) == {"rag": ("tokenizer_config.json", "b")}
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": empty})
    assert found(tmp_path) == {}


def test_an_empty_file_still_takes_precedence(tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": "second"})
    (tmp_path / "chat_template.jinja").write_text("")
    assert found(tmp_path) == {}


@pytest.mark.parametrize("value", [5, ["text"], [{"name": "default"}], [{"template": "a"}]])
def test_a_field_of_another_kind_is_corrupt(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": value})
    with pytest.raises(Corrupt, match=r"^tokenizer_config\.json: chat_template is neither a string nor named"):
        found(tmp_path)


@pytest.mark.parametrize("name", ["../outside", "/outside", ".hidden", "", "a\n", "x" * 65])
def test_a_name_that_could_lead_out_of_a_folder_is_corrupt(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": [{"name": name, "template": "a"}]})
    with pytest.raises(Corrupt, match=r"^tokenizer_config\.json: a chat template is named"):
        found(tmp_path)


def test_a_name_may_have_64_characters(tmp_path: Path) -> None:
    name = "Tool.use_v-" + "2" * 53
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": [{"name": name, "template": "a"}]})
    assert list(found(tmp_path)) == [name]


def test_bytes_that_are_no_text_are_corrupt(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"{{ \xff }}")
    with pytest.raises(Corrupt, match=r"^chat_template\.jinja is not UTF-8 text"):
        found(tmp_path)
