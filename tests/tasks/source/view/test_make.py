"""What the view of a source holds, for sources whose files contradict each other or a library."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("transformers")

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.text_facts import TextFacts
from tasks.checkpoint.view import open_view
from tasks.errors import Corrupt
from tasks.source.analyze import analyze
from tasks.source.definitions import ANALYZE
from tasks.source.parameters import AnalyzeParameters
from tasks.source.view.make import make_view
from tests.fixtures import sentencepiece_bpe
from tests.fixtures.context import make_context
from tests.fixtures.tiny_checkpoint import CHAT_TEMPLATE, write_checkpoint
from tests.tasks.source.view.sources import edit, names, read


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A sound checkpoint, which a test spoils."""
    return write_checkpoint(tmp_path / "source", opens=True)


def settle(source: Path) -> tuple[TextFacts, Path]:
    view = source.parent / "view"
    return make_view(Snapshot(source), view), view


def test_a_sound_source_stays_as_it_is(source: Path) -> None:
    facts, view = settle(source)
    assert facts == TextFacts(
        tokenizer_file="tokenizer.json", opening_ids=(0,), end_ids=(1,), template_file="chat_template.jinja"
    )
    for name in ("config.json", "tokenizer.json", "chat_template.jinja"):
        assert (view / name).read_bytes() == (source / name).read_bytes()
    assert "README.md" not in names(view)


def test_what_the_publisher_s_machine_preferred_is_left_out_with_a_note(source: Path) -> None:
    sound = read(source / "config.json")
    edit(source / "config.json", lambda content: {**content, "torchscript": True, "return_dict": False})
    facts, view = settle(source)
    assert read(view / "config.json") == sound
    assert facts.notes[0].startswith("config.json: torchscript, return_dict say how the publisher's machine or code")


def test_a_number_has_the_type_that_transformers_takes(source: Path) -> None:
    edit(source / "config.json", lambda content: {**content, "rms_norm_eps": 1})
    facts, view = settle(source)
    assert '"rms_norm_eps": 1.0' in (view / "config.json").read_text()
    assert facts.notes == ("config.json: rms_norm_eps is 1; the release says 1.0, as transformers takes it.",)


def test_a_window_of_no_tokens_is_none(source: Path) -> None:
    edit(source / "config.json", lambda content: {**content, "sliding_window": 0})
    facts, view = settle(source)
    assert read(view / "config.json")["sliding_window"] is None
    assert "config.json: sliding_window is 0, which is no window; the release has none." in facts.notes


def test_an_end_that_the_tokenizer_s_class_alone_names_is_an_end(source: Path) -> None:
    """GPT2Tokenizer has the end <|endoftext|> if no file names one, and no template writes it."""
    (source / "chat_template.jinja").unlink()
    (source / "special_tokens_map.json").unlink(missing_ok=True)

    def renamed(content: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(content).replace("</s>", "<|endoftext|>")
        return dict(json.loads(text))

    edit(source / "tokenizer.json", renamed)
    edit(
        source / "tokenizer_config.json",
        lambda content: {
            **{field: value for field, value in content.items() if field not in ("eos_token", "added_tokens_decoder")},
            "tokenizer_class": "GPT2Tokenizer",
        },
    )
    for name in ("config.json", "generation_config.json"):
        edit(source / name, lambda content: {**content, "eos_token_id": 7})
    facts, view = settle(source)
    assert read(view / "tokenizer_config.json").get("eos_token") == "<|endoftext|>"
    assert facts.end_ids == (1, 7)


def test_the_template_comes_from_one_place(source: Path) -> None:
    edit(source / "tokenizer_config.json", lambda content: {**content, "chat_template": "another"})
    (source / "chat_template.json").write_text(json.dumps({"chat_template": "a third"}))
    facts, view = settle(source)
    assert facts.template_file == "chat_template.jinja"
    assert (view / "chat_template.jinja").read_text() == CHAT_TEMPLATE
    assert "chat_template.json" not in names(view)
    assert "chat_template" not in read(view / "tokenizer_config.json")


def test_every_end_is_gathered(source: Path) -> None:
    """One end in each of five places; the template's is the token after an answer."""
    added = [{"id": number, "content": f"<end{number}>", "special": True} for number in (380, 381, 382, 383)]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)

    def with_added(content: dict[str, Any]) -> dict[str, Any]:
        # The new tokens take the place of the last ones.
        old = {number: text for text, number in content["model"]["vocab"].items()}
        dropped = {old[token["id"]] for token in added}
        vocabulary = {text: number for text, number in content["model"]["vocab"].items() if text not in dropped}
        merges = [pair for pair in content["model"]["merges"] if not dropped & {*pair, "".join(pair)}]
        model = {**content["model"], "vocab": vocabulary, "merges": merges}
        listed = [*content["added_tokens"], *({**token, **flags} for token in added)]
        return {**content, "model": model, "added_tokens": listed}

    edit(source / "tokenizer.json", with_added)
    edit(source / "generation_config.json", lambda content: {**content, "eos_token_id": [5, 1]})
    edit(source / "config.json", lambda content: {**content, "eos_token_id": 380})
    edit(source / "tokenizer_config.json", lambda content: {**content, "eos_token": "<end381>"})
    edit(source / "special_tokens_map.json", lambda content: {"eos_token": {"content": "<end382>"}})
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<end383>\n{% endfor %}"
    (source / "chat_template.jinja").write_text(template)
    facts, view = settle(source)
    assert facts.end_ids == (1, 5, 380, 381, 382, 383)
    for name in ("config.json", "generation_config.json"):
        assert read(view / name)["eos_token_id"] == [5, 1, 380, 381, 382, 383], name


def test_an_ordinary_token_that_only_config_json_names_is_no_end(source: Path) -> None:
    edit(source / "generation_config.json", lambda content: {**content, "eos_token_id": 1})
    edit(source / "config.json", lambda content: {**content, "eos_token_id": [1, 6]})
    facts, view = settle(source)
    assert facts.end_ids == (1,)
    assert read(view / "generation_config.json")["eos_token_id"] == read(view / "config.json")["eos_token_id"] == 1
    assert "eos_token_id names 6, which is an ordinary token" in facts.notes[0]


def test_ends_of_config_json_alone_count(source: Path) -> None:
    edit(source / "generation_config.json", lambda content: {"bos_token_id": 0})
    edit(source / "config.json", lambda content: {**content, "eos_token_id": 6})
    assert settle(source)[0].end_ids == (1, 6)


def test_a_stop_string_that_is_a_token_is_an_end_and_others_are_noted(source: Path) -> None:
    token = next(
        text for text in read(source / "tokenizer.json")["model"]["vocab"] if len(text) > 1 and "\u0120" in text
    )
    stops = [token, "</s>", "no token at all"]
    edit(source / "generation_config.json", lambda content: {"eos_token_id": 0, "stop_strings": stops})
    facts, view = settle(source)
    number = read(source / "tokenizer.json")["model"]["vocab"][token]
    assert facts.end_ids == (0, 1, number)
    assert read(view / "generation_config.json")["stop_strings"] == stops
    (note,) = facts.notes
    assert f"stop_strings names {token!r}, 'no token at all', at which" in note


def test_the_end_of_a_turn_is_found_without_tokenizer_json(source: Path) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    template = "{% for m in messages %}{{ m['content'] }}<turn>{% endfor %}"
    (source / "chat_template.jinja").write_text(template)
    edit(
        source / "tokenizer_config.json",
        lambda content: {**content, "added_tokens_decoder": {"320": {"content": "<turn>", "special": True}}},
    )
    from sentencepiece import SentencePieceProcessor

    assert SentencePieceProcessor(model_file=str(source / "tokenizer.model")).get_piece_size() == 320
    assert settle(source)[0].end_ids == (2, 320)


@pytest.mark.parametrize("own", [{"turn_token": "<s>"}, {"extra_special_tokens": {"turn_token": "<s>"}}])
def test_an_end_of_turn_that_the_template_writes_by_a_name_of_its_own_is_an_end(
    source: Path, own: dict[str, Any]
) -> None:
    template = "{% for m in messages %}{{ m['content'] + turn_token + '\n' }}{% endfor %}"
    (source / "chat_template.jinja").write_text(template)
    edit(source / "tokenizer_config.json", lambda content: {**content, **own})
    facts, view = settle(source)
    assert facts.end_ids == (0, 1)
    assert read(view / "tokenizer_config.json")["turn_token"] == "<s>"


@pytest.mark.parametrize("tokenizer_class", ["GemmaTokenizer", "LlamaTokenizer"])
@pytest.mark.parametrize(
    ("template", "ids"), [("{{ m['content'] }}<turn>\n", 2), ("{{ m['content'] }}\n", [2, 3])], ids=["written", "named"]
)
def test_a_piece_that_the_model_s_maker_named_is_an_end(
    source: Path, tokenizer_class: str, template: str, ids: object
) -> None:
    """By the template, or by config.json alone. transformers adds no token for it."""
    sentencepiece_bpe.write(source, json_file=False, tokenizer_class=tokenizer_class)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(user_defined=["<turn>"]))
    (source / "chat_template.jinja").write_text("{% for m in messages %}" + template + "{% endfor %}")
    edit(source / "config.json", lambda content: {**content, "eos_token_id": ids})
    facts, view = settle(source)
    assert facts.end_ids == (2, 3)
    assert read(view / "config.json")["eos_token_id"] == read(view / "generation_config.json")["eos_token_id"] == [2, 3]
    assert not any("ordinary token" in note for note in facts.notes)


def test_a_negative_id_means_none_and_one_without_a_row_is_refused(source: Path) -> None:
    edit(source / "config.json", lambda content: {**content, "pad_token_id": -1})
    assert read(settle(source)[1] / "config.json")["pad_token_id"] is None
    edit(source / "config.json", lambda content: {**content, "pad_token_id": 384})
    with pytest.raises(Corrupt, match=r"config\.json: pad_token_id is 384, but the model has 384 tokens"):
        make_view(Snapshot(source), source.parent / "again")


def test_an_id_of_padding_without_a_row_leaves_the_settings_of_generation(source: Path) -> None:
    edit(source / "generation_config.json", lambda content: {**content, "pad_token_id": 384})
    facts, view = settle(source)
    assert "pad_token_id" not in read(view / "generation_config.json")
    assert facts.notes == (
        "generation_config.json: pad_token_id is 384, for which the model has no row; the release leaves it out.",
    )


@pytest.mark.parametrize(
    ("named", "config", "generation", "settled", "notes"),
    [
        ({}, {"bos_token_id": None}, {}, (None, 0, None), 0),
        ({}, {"bos_token_id": 5}, {"bos_token_id": 6}, (0, 0, None), 2),
        ({}, {"pad_token_id": -1}, {"pad_token_id": 7}, (0, 0, 7), 0),
        ({"pad_token": "</s>"}, {}, {"pad_token_id": 7}, (0, 0, 1), 1),
        ({"bos_token": None}, {"bos_token_id": 5}, {"bos_token_id": 5}, (5, 5, None), 0),
    ],
)
def test_the_tokenizer_decides_what_begins_and_pads_a_text(
    source: Path,
    named: dict[str, Any],
    config: dict[str, Any],
    generation: dict[str, Any],
    settled: tuple[int | None, ...],
    notes: int,
) -> None:
    for file, changes in (("tokenizer_config", named), ("config", config), ("generation_config", generation)):
        path = source / f"{file}.json"
        path.write_text(json.dumps({**read(path), **changes}))
    facts, view = settle(source)
    first = read(view / "config.json")
    assert first.get("pad_token_id") is None
    written = read(view / "generation_config.json")
    assert (first["bos_token_id"], written["bos_token_id"], written.get("pad_token_id")) == settled
    assert len(facts.notes) == notes


def test_normalizations_are_named(source: Path) -> None:
    step = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "x"}]}
    edit(source / "tokenizer.json", lambda content: {**content, "normalizer": step})
    assert settle(source)[0].normalization == ("NFC",)


def test_normalizations_of_a_model_alone_are_named(source: Path) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(normalization="nmt_nfkc"))
    assert "nmt_nfkc" in settle(source)[0].normalization


@pytest.mark.parametrize("named", [None, ["FSDPLlamaForCausalLM"]])
def test_an_architecture_without_a_known_name_is_in_the_view_and_in_the_facts(
    source: Path, tmp_path: Path, named: list[str] | None
) -> None:
    sound = read(source / "config.json")
    edit(source / "config.json", lambda content: {**content, "architectures": named})
    context = make_context(tmp_path / "work", {"snapshot": source})
    assert analyze(AnalyzeParameters(), context)["architecture"] == "LlamaForCausalLM"
    assert read(context.output / "view" / "config.json") == sound


def test_what_fetch_left_out_is_a_note(source: Path, tmp_path: Path) -> None:
    told = "a/b also has an adapter"
    context = make_context(tmp_path / "work", {"snapshot": source}, {"snapshot": {"left_out": [told]}})
    assert told in analyze(AnalyzeParameters(), context)["text"]["notes"]
    assert told in context.messages
    assert "left_out" in ANALYZE.facts["snapshot"]


def test_analyze_writes_the_view_and_its_facts(source: Path, tmp_path: Path) -> None:
    sentencepiece_bpe.write(source)
    context = make_context(tmp_path / "work", {"snapshot": source})
    facts = analyze(AnalyzeParameters(), context)
    analysis = Analysis.from_json((context.output / "analysis.json").read_bytes())
    assert analysis.model_dump(mode="json") == facts
    assert analysis.text and analysis.text.class_replaced in context.messages
    assert not analysis.chat_template
    opened = open_view(source, context.output, tmp_path / "opened")
    assert names(opened) == {*names(context.output / "view"), "model.safetensors"}
