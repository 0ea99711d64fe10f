"""The settings of llama-server are found by which the source's template renders chats as without them."""

from typing import Any

import pytest

pytest.importorskip("transformers")

from tasks.formats.gguf.chat_settings import find_settings, notes_of_settings
from tests.fixtures.tiny_checkpoint import make_tokenizer
from tests.tasks.engines.llama_cpp.chats_that_think import TEMPLATES

pytestmark = pytest.mark.runtime("torch")

FACTS: dict[str, dict[str, bool]] = {
    "off": {"chats_think": False},
    "gemma": {"chats_think": False},
    "on": {"chats_think": True},
    "unseen": {"chats_think": True},
    "drops": {"chats_keep_thoughts": False},
    "sent": {"chats_keep_thoughts": False},
    "neither": {"chats_unlike": True},
    "plain": {},
    "opened": {},
    "picky": {},
    "unread": {},
}


def found(template: str | None) -> dict[str, Any]:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return find_settings(tokenizer)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_settings_are_those_that_change_no_chat(name: str) -> None:
    assert found(TEMPLATES[name]) == FACTS[name]


def test_both_settings_may_be_needed() -> None:
    both = TEMPLATES["drops"].replace("{% if add_generation_prompt %}", "{% if enable_thinking %}Think.{% endif %}")
    both = both.removesuffix("{% endif %}")
    assert found(both) == {"chats_think": False, "chats_keep_thoughts": False}


def test_a_chat_that_the_source_refuses_decides_nothing() -> None:
    refused = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    assert found(refused + TEMPLATES["off"]) == {"chats_think": False}
    # With the variable, the template takes the system message that it refuses without.
    accepted = refused.replace("'system'", "'system' and enable_thinking is not defined")
    assert found(accepted + TEMPLATES["off"]) == {"chats_think": False}
    assert found("{{ raise_exception('no') }}") == {}


@pytest.mark.parametrize("template", [None, ""])
def test_without_a_template_there_is_nothing_to_set(template: str | None) -> None:
    assert found(template) == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("off", "which this template takes for false. The report's llama-server lines set it to false; for true, send"),
        ("on", "which this template takes for true. The report's llama-server lines set it to true; for false, send"),
        ("drops", "The report's llama-server lines switch that off."),
        ("neither", "use MLflow for chats."),
    ],
)
def test_every_setting_has_a_note(name: str, words: str) -> None:
    (note,) = notes_of_settings(FACTS[name])
    assert words in note and note.endswith(".")
    assert notes_of_settings({}) == []
