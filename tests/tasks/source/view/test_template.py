"""The chat template is settled by one rule, and the token with which it ends a turn is found in a sandbox."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.source.checks.sandbox import Exceeded, Failed
from tasks.source.view.template import Template, ends_of_turn, settle_template
from tests.fixtures.checkpoints import CHAT_TEMPLATE
from tests.tasks.source.view.sources import names

MARKS = ("<s>", "</s>", "<|end|>", "<|end|>\n\n")

SPECIAL = SimpleNamespace(special_tokens_map={"bos_token": "<s>", "eos_token": "</s>", "turn_token": "<|end|>"})
"""As much of transformers' tokenizer as the settling asks."""

MESSAGES = "{% for m in messages %}{{ m['content'] }}"


def settle(folder: Path, files: dict[str, Any]) -> tuple[Template, Path]:
    source, view = folder / "source", folder / "view"
    source.mkdir()
    view.mkdir()
    for name, content in files.items():
        (source / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return settle_template(Snapshot(source), view), view


def turn(view: Path, template: str) -> tuple[str, ...]:
    (view / "chat_template.jinja").write_text(template)
    return ends_of_turn(view, SPECIAL, MARKS)


def test_without_a_template_there_is_none(tmp_path: Path) -> None:
    found, view = settle(tmp_path, {"tokenizer_config.json": {}})
    assert found == Template() and not names(view)


def test_a_template_in_chat_template_json_alone_counts(tmp_path: Path) -> None:
    found, view = settle(tmp_path, {"chat_template.json": {"chat_template": CHAT_TEMPLATE}})
    assert found == Template("chat_template.json")
    assert (view / "chat_template.jinja").read_text() == CHAT_TEMPLATE


def test_a_list_without_a_default_is_no_template(tmp_path: Path) -> None:
    listed = [{"name": "rag", "template": "x"}]
    found, view = settle(tmp_path, {"tokenizer_config.json": {"chat_template": listed}})
    (note,) = found.notes
    assert found.file is None and not names(view)
    assert note.startswith("tokenizer_config.json has the chat templates 'rag' and no 'default'")


def test_named_templates_stay_beside_the_default(tmp_path: Path) -> None:
    named = [{"name": "rag", "template": "x"}, {"name": "tool_use", "template": "y"}]
    listed = [*named, {"name": "default", "template": "line\r\n"}]
    found, view = settle(tmp_path, {"tokenizer_config.json": {"chat_template": listed}})
    assert found == Template("tokenizer_config.json")
    assert names(view) == {
        "chat_template.jinja",
        "additional_chat_templates/rag.jinja",
        "additional_chat_templates/tool_use.jinja",
    }
    assert (view / "additional_chat_templates" / "rag.jinja").read_bytes() == b"x"
    assert (view / "chat_template.jinja").read_bytes() == b"line\r\n"


def test_a_name_of_a_template_leads_to_no_file_outside_the_view(tmp_path: Path) -> None:
    listed = [{"name": "../../outside", "template": "x"}, {"name": "default", "template": CHAT_TEMPLATE}]
    with pytest.raises(Corrupt, match="outside"):
        settle(tmp_path, {"tokenizer_config.json": {"chat_template": listed}})
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (CHAT_TEMPLATE, ("<|end|>",)),
        (MESSAGES + "  {{ eos_token }}{% endfor %}", ("</s>",)),
        # A token that the publisher named.
        (MESSAGES + "{{ turn_token }}{% endfor %}", ("<|end|>",)),
        (MESSAGES + "{{ pad_token + turn_token }}{% endfor %}", ("<|end|>",)),
        # The longest of the added tokens that fit.
        (MESSAGES + "{{ '<|end|>\n\n' }}{% endfor %}", ("<|end|>\n\n",)),
        (MESSAGES + " plain{% endfor %}", ()),
        (MESSAGES + "{% endfor %}", ()),
        ("{{ messages[0]['content'] }}</s>", ()),
        # Between two turns alone, and another token there than at the end.
        (MESSAGES + "{% if not loop.last %}<|end|>{% endif %}{% endfor %}", ("<|end|>",)),
        (MESSAGES + "{% if loop.last %}</s>{% else %}<|end|>{% endif %}{% endfor %}", ("</s>", "<|end|>")),
    ],
)
def test_the_added_tokens_behind_an_answer_end_a_turn(tmp_path: Path, template: str, ends: tuple[str, ...]) -> None:
    assert turn(tmp_path, template) == ends


@pytest.mark.parametrize(
    "template",
    [
        MESSAGES + "{% endfor %}{% if add_generation_prompt %}<s>{% endif %}<s>",
        "{% for m in messages %}<|end|>{{ m['content'] }}{% endfor %}",
        "{% for m in messages %}{% if not loop.first %}{{ bos_token }}{% endif %}{{ m['content'] }}{% endfor %}",
    ],
)
def test_what_opens_the_next_turn_is_no_end(tmp_path: Path, template: str) -> None:
    assert turn(tmp_path, template) == ()


@pytest.mark.parametrize(
    "trouble",
    [
        "{% for i in range(10**12) %}{% endfor %}",
        "{{ 'x' * 10**10 }}",
        "{{ 1 / 0 }}",
        "{{ raise_exception('the user speaks last') }}",
    ],
)
def test_a_template_that_fails_after_an_answer_shows_its_end_between_turns(tmp_path: Path, trouble: str) -> None:
    last = "{% if messages[-1]['role'] == 'assistant' %}" + trouble + "{% endif %}"
    assert turn(tmp_path, CHAT_TEMPLATE + last) == ("<|end|>",)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}",
        "{{ 1 / 0 }}",
        CHAT_TEMPLATE + "{% if add_generation_prompt %}{{ raise_exception('it gives no prompt') }}{% endif %}",
    ],
)
def test_a_template_that_does_not_render_has_no_end_of_turn(tmp_path: Path, template: str) -> None:
    assert turn(tmp_path, template) == ()


@pytest.mark.parametrize("ended", [Exceeded(), Failed("a signal")])
def test_a_process_that_does_not_answer_shows_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: Exception
) -> None:
    def ask(*_: object) -> None:
        raise ended

    monkeypatch.setattr("tasks.source.view.template.ask", ask)
    assert turn(tmp_path, CHAT_TEMPLATE) == ()
