"""Templates that models really have pass; those that are broken, endless, greedy or reach out are told apart."""

import time
from pathlib import Path

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused, ToolKilled, Unsupported
from tasks.source.checks import render_template
from tasks.source.checks.chat_template import QUESTION, check_chat_template
from tasks.source.parameters import ScanParameters
from tests.fixtures.checkpoints import CHAT_TEMPLATE, make_checkpoint, write_json

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"


def check(folder: Path, template: object, **fields: object) -> tuple[str, bool]:
    make_checkpoint(folder)
    write_json(folder / "tokenizer_config.json", {"bos_token": {"content": "<s>"}, "chat_template": template, **fields})
    return check_chat_template(Snapshot(folder), PARAMETERS)


@pytest.mark.parametrize(
    "template",
    [
        CHAT_TEMPLATE,
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.content | trim }}{% if loop.last %}{% break %}{% endif %}{% endfor %}",
        "{% for m in messages %}{% generation %}{{ m | tojson(indent=2) }}{% endgeneration %}{% endfor %}",
        "{{ strftime_now('%d %b %Y') }}{% if tools is not none %}{{ tools[0] }}{% endif %}" + PLAIN,
        "{% set ns = namespace(x=0) %}{% for m in messages %}{% set ns.x = ns.x + 1 %}{{ m['content'] }}{% endfor %}",
        "{% for m in messages %}{{ bos_token + m.content + eos_token }}{% endfor %}",
        "{% if bos_token != '<s>' or eos_token %}{{ raise_exception(bos_token) }}{% endif %}" + PLAIN,
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}",
    ],
)
def test_templates_of_the_usual_kinds_pass(tmp_path: Path, template: str) -> None:
    assert check(tmp_path, template) == ("default: parsed and rendered in a sandbox", True)


@pytest.mark.parametrize(
    "fields",
    [
        {"turn_token": "<t>"},
        {"turn_token": {"content": "<t>"}},
        {"extra_special_tokens": {"turn_token": "<t>"}},
        {"model_specific_special_tokens": {"turn_token": "<t>"}},
    ],
)
def test_a_template_may_write_a_token_that_the_publisher_named(tmp_path: Path, fields: dict[str, object]) -> None:
    strict = "{% if turn_token != '<t>' %}{{ raise_exception(turn_token) }}{% endif %}"
    assert check(tmp_path, strict + "{% for m in messages %}{{ m.content + turn_token }}{% endfor %}", **fields)[1]


def test_more_templates_than_any_model_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = {"rendered": [QUESTION], "error": None, "kind": None}
    monkeypatch.setattr("tasks.source.checks.chat_template.ask", lambda *_: sound)
    named = [{"name": f"number{number}", "template": PLAIN} for number in range(17)]
    assert check(tmp_path, named[:16])[1] is True
    with pytest.raises(Refused, match=r"^tokenizer_config\.json: the repository has 17 chat templates, more than 16;"):
        check(tmp_path, named)


def test_no_template(tmp_path: Path) -> None:
    assert check(tmp_path, None) == ("no chat template", False)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}", "does not parse .*ask the publisher"),
        ("{{ messages | no_such_filter }}", "does not parse .*no_such_filter"),
        ("{{ messages[9].content.x.y }}", "renders no conversation"),
        ("{{ raise_exception('Never!') }}", r"renders no conversation \(Never!\)"),
        ("always the same", "its output lacks the user's message"),
        ([{"name": "../../outside", "template": PLAIN}], r"is named '\.\./\.\./outside'.*ask the publisher"),
        (["no mapping"], "is neither a string nor named templates, a list or an object"),
    ],
)
def test_broken_ones_are_corrupt(tmp_path: Path, template: object, message: str) -> None:
    with pytest.raises(Corrupt, match=f"tokenizer_config.json: .*{message}"):
        check(tmp_path, template)


@pytest.mark.parametrize(
    "content",
    ["{% for part in m.content %}{{ part.text }}{% endfor %}", "{{ m.content[0].text.strip() }}"],
    ids=["shows nothing of a text", "fails on a text"],
)
def test_one_that_takes_parts_alone_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(Unsupported, match=r"^tokenizer_config\.json: .* takes messages as lists of parts alone"):
        check(tmp_path, "{% for m in messages %}" + content + "{% endfor %}")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ (messages | attr('__class__')).mro() }}",
    ],
)
def test_nothing_gets_out_of_the_sandbox(tmp_path: Path, template: str) -> None:
    with pytest.raises(Refused, match="tokenizer_config.json: .* tries to leave its sandbox"):
        check(tmp_path, template + PLAIN)


def test_a_template_that_changes_a_list_is_no_attack(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match=r"renders no conversation \(it calls 'append' of a list\); ask the publisher"):
        check(tmp_path, "{{ messages.append(1) }}" + PLAIN)


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (ENDLESS, "exceeds its limits of a few seconds"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ 'mark' * 99 }}{% endfor %}{% endfor %}",
            r"exceeds its limits \(its output has more than 1000000 characters\); do not use",
        ),
        ("{{ 'x' * 9999999999 }}", "exceeds its limits of a few seconds"),
        ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "renders no conversation"),
        ("{% set x = 9 ** (9 ** 9) %}", "exceeds its limits of a few seconds"),
    ],
    ids=["time", "text", "memory", "recursion", "number"],
)
def test_endless_and_greedy_ones_are_refused_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, message: str
) -> None:
    script = tmp_path / "render_template.py"
    source = Path(render_template.__file__).read_text()
    script.write_text(source.replace("CPU_SECONDS = 5", "CPU_SECONDS = 1"))
    monkeypatch.setattr("tasks.source.checks.chat_template.SCRIPT", script)
    started = time.monotonic()
    with pytest.raises((Refused, Corrupt), match=message):
        check(tmp_path / "snapshot", template)
    assert time.monotonic() - started < 30


def test_a_template_that_ends_the_process_is_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "crashes.py"
    script.write_text("raise SystemExit('the stack is full')\n")
    monkeypatch.setattr("tasks.source.checks.chat_template.SCRIPT", script)
    with pytest.raises(Corrupt, match=r"'default' cannot be rendered \(the stack is full\); ask the publisher"):
        check(tmp_path / "snapshot", PLAIN)


def test_a_template_that_waits_is_ended_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "sleeps.py"
    script.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr("tasks.source.checks.chat_template.SCRIPT", script)
    monkeypatch.setattr("tasks.source.checks.sandbox.WALL_SECONDS", 0.5)
    with pytest.raises(ToolKilled, match=r"^sleeps did not end within 0.5 s, .*; clear the task when"):
        check(tmp_path / "snapshot", PLAIN)


def test_the_process_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "tells.py"
    script.write_text(
        "import json, os, sys\nseen = [os.environ.get('HF_TOKEN', 'Which mark is struck?')]\n"
        "json.dump({'rendered': seen, 'error': None, 'kind': None}, sys.stdout)\n"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("tasks.source.checks.chat_template.SCRIPT", script)
    assert check(tmp_path / "snapshot", PLAIN)[1] is True


def test_named_templates_are_each_looked_at(tmp_path: Path) -> None:
    named = [{"name": "default", "template": PLAIN}, {"name": "tools", "template": "{{ tools[0].name }}"}]
    assert check(tmp_path, named)[0].startswith("default, tools")
    with pytest.raises(Corrupt, match="'tools' does not parse"):
        check(tmp_path, [named[0], {"name": "tools", "template": "{% if %}"}])


@pytest.mark.parametrize("place", ["chat_template.jinja", "additional_chat_templates/rag.jinja"])
def test_templates_in_files_of_their_own(tmp_path: Path, place: str) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("{% if %}")
    with pytest.raises(Corrupt, match=place):
        check_chat_template(Snapshot(folder), PARAMETERS)
