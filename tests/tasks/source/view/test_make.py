"""What the view of a source holds, for sources whose files contradict each other or a library."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.text_facts import TextFacts
from tasks.checkpoint.view import open_view
from tasks.errors import Corrupt, Refused
from tasks.source.analyze import analyze
from tasks.source.parameters import AnalyzeParameters
from tasks.source.view.make import make_view
from tests.fixtures import sentencepiece_bpe
from tests.fixtures.context import make_context
from tests.fixtures.tiny_checkpoint import CHAT_TEMPLATE, VOCABULARY, tiny_llama, write_checkpoint

PROBES = (" leading", "runs   of  spaces", "after</s> a special", "", "Zażółć 🚀")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A sound checkpoint, which a test spoils."""
    return write_checkpoint(tmp_path / "source", opens=True)


def settle(source: Path) -> tuple[TextFacts, Path]:
    view = source.parent / "view"
    return make_view(Snapshot(source), view), view


def edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(change(content), ensure_ascii=False), encoding="utf-8")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def ids_of(file: Path, text: str, special: bool = False) -> list[int]:
    return list(tokenizers.Tokenizer.from_file(str(file)).encode(text, add_special_tokens=special).ids)


def names(view: Path) -> set[str]:
    return {path.relative_to(view).as_posix() for path in view.rglob("*") if path.is_file()}


def test_a_sound_source_stays_as_it_is(source: Path) -> None:
    facts, view = settle(source)
    assert facts == TextFacts(
        tokenizer_file="tokenizer.json", opening_ids=(0,), end_ids=(1,), template_file="chat_template.jinja"
    )
    for name in ("config.json", "tokenizer.json", "chat_template.jinja"):
        assert (view / name).read_bytes() == (source / name).read_bytes()
    assert "README.md" not in names(view)


def test_a_class_that_drops_steps_of_the_tokenizer_is_replaced(source: Path) -> None:
    sentencepiece_bpe.write(source)
    found = transformers.AutoTokenizer.from_pretrained(source)
    assert any(
        found.encode(text, add_special_tokens=False) != ids_of(source / "tokenizer.json", text) for text in PROBES
    )
    facts, view = settle(source)
    assert (
        facts.class_replaced and "names the class LlamaTokenizer, with which transformers cuts" in facts.class_replaced
    )
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    for text in PROBES:
        for special in (False, True):
            assert loaded.encode(text, add_special_tokens=special) == ids_of(source / "tokenizer.json", text, special)
    assert read(view / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (loaded.bos_token, loaded.eos_token) == ("<s>", "</s>")
    assert (facts.opening_ids, facts.closing_ids, facts.end_ids) == ((1,), (), (2,))
    # Both files cut alike, so both are kept: some converters read one, some the other.
    assert {"tokenizer.json", "tokenizer.model"} <= names(view)


@pytest.mark.parametrize(("tokens", "kept"), [(290, "tokenizer.json"), (None, "tokenizer.json")])
def test_another_models_tokenizer_is_left_out(source: Path, tokens: int | None, kept: str) -> None:
    stale = sentencepiece_bpe.train(tokens) if tokens else b"AA== 0\nAQ== 1\n"
    (source / "tokenizer.model").write_bytes(stale)
    facts, view = settle(source)
    assert facts.tokenizer_file == kept
    assert "tokenizer.model" not in names(view)
    assert [note.split(":")[0] for note in facts.notes] == ["tokenizer.model is left out"]


def test_two_tokenizers_of_one_size_that_differ_are_refused_with_the_text(source: Path) -> None:
    sentencepiece_bpe.write(source)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(dummy_prefix=False))
    with pytest.raises(Refused, match=r"tokenizer\.model and tokenizer\.json .* cut \d+ of \d+ texts \(the first is '"):
        settle(source)


def test_a_model_that_cuts_few_texts_differently_stays_with_a_note(source: Path) -> None:
    sentencepiece_bpe.write(source)
    rare = {"type": "Replace", "pattern": {"String": "rock'n'roll"}, "content": "cat"}

    def with_rare(content: dict[str, Any]) -> dict[str, Any]:
        steps = [rare, *content["normalizer"]["normalizers"]]
        return {**content, "normalizer": {"type": "Sequence", "normalizers": steps}}

    edit(source / "tokenizer.json", with_rare)
    facts, view = settle(source)
    assert facts.tokenizer_file == "tokenizer.json"
    assert "tokenizer.model" in names(view)
    (note,) = facts.notes
    assert re.match(
        r"tokenizer\.model is kept: it has 320 tokens and tokenizer\.json has 320, and cuts [1-9] of 10\d\d texts", note
    )


def test_a_model_of_the_same_vocabulary_that_cuts_many_texts_differently_is_left_out(source: Path) -> None:
    sentencepiece_bpe.write(source)

    def without_prefix(content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "normalizer": content["normalizer"]["normalizers"][1]}

    edit(source / "tokenizer.json", without_prefix)
    facts, view = settle(source)
    assert facts.tokenizer_file == "tokenizer.json"
    assert "tokenizer.model" not in names(view)
    assert "tokenizer.model is left out: it has 320 tokens" in facts.notes[0]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_model_alone_whose_normalization_differs_in_few_texts_is_kept_with_a_note(source: Path, kind: str) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(normalization="nmt_nfkc", kind=kind))
    facts, _ = settle(source)
    assert facts.tokenizer_file == "tokenizer.model"
    (note,) = facts.notes
    assert re.match(r"transformers cuts \d+ of 10\d\d texts .* than the library of tokenizer\.model", note)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_model_that_drops_surplus_spaces_keeps_line_ends_and_tabs(source: Path, kind: str) -> None:
    """The rule `nfkc` leaves them as they are, and "surplus" is said of spaces alone."""
    sentencepiece_bpe.write(source, json_file=False)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(normalization="nfkc", kind=kind))
    _, view = settle(source)
    from sentencepiece import SentencePieceProcessor

    truth = SentencePieceProcessor(model_file=str(source / "tokenizer.model"))
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    for text in ("\n\nthe cat\t", "  the   cat  ", "the\ncat\n", "\t"):
        assert loaded.encode(text, add_special_tokens=False) == truth.encode(text)


def test_a_flag_that_neither_the_file_nor_the_class_follows_is_told(source: Path) -> None:
    """As DeepSeek-V3's, whose byte-level tokenizer names a class of another kind."""
    tokenizer = read(source / "tokenizer.json")
    edit(source / "tokenizer.json", lambda content: {**content, "post_processor": None})
    assert tokenizer["post_processor"]
    named = {"add_bos_token": True, "tokenizer_class": "LlamaTokenizerFast"}
    edit(source / "tokenizer_config.json", lambda content: {**content, **named})
    facts, view = settle(source)
    assert facts.opening_ids == ()
    assert facts.notes == (
        "tokenizer_config.json says add_bos_token: true, and neither tokenizer.json nor transformers does so.",
    )
    assert "add_bos_token" not in read(view / "tokenizer_config.json")


def test_added_tokens_are_in_the_file_as_transformers_holds_them(tmp_path: Path) -> None:
    """Gemma's `<mask>` is ordinary in tokenizer.json and special to transformers; other tokens are named beside it."""
    source = write_checkpoint(tmp_path / "source", tiny_llama(vocab_size=VOCABULARY + 2), opens=True)
    tokenizer = tokenizers.Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.add_tokens([tokenizers.AddedToken("<mask>", normalized=False)])
    tokenizer.save(str(source / "tokenizer.json"))
    edit(source / "tokenizer_config.json", lambda content: {**content, "mask_token": "<mask>", "pad_token": "<pad>"})
    _, view = settle(source)
    loaded, engine = (
        transformers.AutoTokenizer.from_pretrained(view),
        tokenizers.Tokenizer.from_file(str(view / "tokenizer.json")),
    )
    text = "a<mask>b<pad>c</s>"
    ids = loaded.encode(text, add_special_tokens=False)
    assert engine.encode(text, add_special_tokens=False).ids == ids
    assert engine.decode(ids) == loaded.decode(ids, skip_special_tokens=True) == "abc"


def test_flags_of_added_tokens_are_carried_over(source: Path) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    (source / "added_tokens.json").write_text(json.dumps({"<plain>": 320, "<left>": 321}))
    flags = {"special": True, "lstrip": True, "rstrip": False, "normalized": False, "single_word": True}
    decoder = {"321": {"content": "<left>", **flags}}
    edit(source / "tokenizer_config.json", lambda content: {**content, "added_tokens_decoder": decoder})
    _, view = settle(source)
    added = {token["content"]: token for token in read(view / "tokenizer.json")["added_tokens"]}
    assert added["<left>"] == {"id": 321, "content": "<left>", **flags}
    assert added["<plain>"] == {"id": 320, "content": "<plain>", **dict.fromkeys(flags, False)}


def test_ids_of_added_tokens_with_a_gap_are_refused(source: Path) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    (source / "added_tokens.json").write_text(json.dumps({"<far>": 330}))
    with pytest.raises(Refused, match=r"'<far>' has the id 330 .* gives it the id 320; ask the publisher"):
        settle(source)


def test_a_class_with_ids_of_its_own_is_the_truth_of_them(source: Path) -> None:
    write_bpe_model(source, "XLMRobertaTokenizer")
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(source / "sentencepiece.bpe.model")).encode("the cat")
    facts, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert loaded.encode("the cat", add_special_tokens=False) == [piece + 1 for piece in pieces]
    assert "gives the pieces of sentencepiece.bpe.model ids of its own" in facts.notes[0]


def test_a_class_with_ids_of_its_own_that_does_not_read_the_model_is_refused(source: Path) -> None:
    write_bpe_model(source, "XGLMTokenizer")
    with pytest.raises(Refused, match=r"XGLMTokenizer gives '<s>' the id 0 and .*bpe\.model gives it 1.*ask the publ"):
        settle(source)


def write_bpe_model(source: Path, tokenizer_class: str) -> None:
    sentencepiece_bpe.write(source, json_file=False, tokenizer_class=tokenizer_class)
    (source / "tokenizer.model").unlink()
    (source / "sentencepiece.bpe.model").write_bytes(sentencepiece_bpe.train(kind="unigram"))


def test_a_source_with_a_sentencepiece_model_alone_is_cut_by_it(source: Path) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    facts, view = settle(source)
    from sentencepiece import SentencePieceProcessor

    truth = SentencePieceProcessor(model_file=str(source / "tokenizer.model"))
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    for text in (" leading", "runs   of  spaces", "Zażółć 🚀"):
        assert loaded.encode(text, add_special_tokens=False) == truth.encode(text)
    assert facts.tokenizer_file == "tokenizer.model"
    assert (facts.opening_ids, facts.end_ids) == ((1,), (2,))
    assert loaded.decode(truth.encode("runs   of  spaces")) == "runs   of  spaces"


def test_a_flag_that_nothing_follows_is_removed(source: Path) -> None:
    """tokenizer_config.json says `add_bos_token`, and no library adds one, for the post-processor adds none."""
    edit(source / "tokenizer.json", lambda content: {**content, "post_processor": None})
    edit(source / "tokenizer_config.json", lambda content: {**content, "add_bos_token": True})
    facts, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert list(facts.opening_ids) + loaded.encode("a", add_special_tokens=False) == loaded.encode("a")
    assert facts.opening_ids == ()
    assert "add_bos_token" not in read(view / "tokenizer_config.json")


def test_the_template_comes_from_one_place(source: Path) -> None:
    edit(source / "tokenizer_config.json", lambda content: {**content, "chat_template": "another"})
    (source / "chat_template.json").write_text(json.dumps({"chat_template": "a third"}))
    facts, view = settle(source)
    assert facts.template_file == "chat_template.jinja"
    assert (view / "chat_template.jinja").read_text() == CHAT_TEMPLATE
    assert "chat_template.json" not in names(view)
    assert "chat_template" not in read(view / "tokenizer_config.json")


def test_a_template_in_chat_template_json_alone_counts(source: Path) -> None:
    (source / "chat_template.jinja").unlink()
    (source / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    facts, view = settle(source)
    assert facts.template_file == "chat_template.json"
    assert (view / "chat_template.jinja").read_text() == CHAT_TEMPLATE


def test_a_list_without_a_default_is_no_template(source: Path) -> None:
    (source / "chat_template.jinja").unlink()
    listed = [{"name": "rag", "template": "x"}]
    edit(source / "tokenizer_config.json", lambda content: {**content, "chat_template": listed})
    facts, view = settle(source)
    assert (facts.template_file, "chat_template.jinja" in names(view)) == (None, False)
    assert "'rag' and no 'default'" in facts.notes[0]


def test_named_templates_stay_beside_the_default(source: Path) -> None:
    (source / "chat_template.jinja").unlink()
    listed = [{"name": "rag", "template": "x"}, {"name": "default", "template": CHAT_TEMPLATE}]
    edit(source / "tokenizer_config.json", lambda content: {**content, "chat_template": listed})
    facts, view = settle(source)
    assert facts.template_file == "tokenizer_config.json"
    assert (view / "additional_chat_templates" / "rag.jinja").read_text() == "x"


def test_a_name_of_a_template_leads_to_no_file_outside_the_view(source: Path) -> None:
    listed = [{"name": "../../outside", "template": "x"}, {"name": "default", "template": CHAT_TEMPLATE}]
    edit(source / "tokenizer_config.json", lambda content: {**content, "chat_template": listed})
    with pytest.raises(Corrupt, match="outside"):
        settle(source)
    assert not list(source.parent.rglob("outside*"))


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


def test_a_special_token_as_an_object_of_an_older_file_is_read(source: Path) -> None:
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    edit(source / "special_tokens_map.json", lambda content: {"unk_token": {"content": "</s>", **flags}})
    edit(source / "tokenizer_config.json", lambda content: {**content, "eos_token": {"content": "</s>", **flags}})
    with pytest.raises(TypeError, match="has to be either str or AddedToken"):
        transformers.PreTrainedTokenizerFast.from_pretrained(source)
    facts, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert (loaded.bos_token, loaded.eos_token, loaded.unk_token) == ("<s>", "</s>", "</s>")
    assert (facts.end_ids, facts.notes) == ((1,), ())


def test_a_special_token_without_a_row_is_left_out(source: Path) -> None:
    """transformers would add it with the next id, at which the model fails."""
    edit(source / "tokenizer_config.json", lambda content: {**content, "pad_token": "[PAD]"})
    size = read(source / "config.json")["vocab_size"]
    assert max(transformers.AutoTokenizer.from_pretrained(source).encode("[PAD]")) >= size
    facts, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert len(loaded) == size
    assert (loaded.pad_token, loaded.eos_token) == (None, "</s>")
    assert len(facts.notes) == 1
    assert "pad_token is '[PAD]', which is no token of tokenizer.json" in facts.notes[0]


@pytest.mark.parametrize("field", ["bos_token", "eos_token"])
def test_a_token_of_prompts_without_a_row_is_refused(source: Path, field: str) -> None:
    edit(source / "tokenizer_config.json", lambda content: {**content, field: "<other>"})
    with pytest.raises(Corrupt, match=f"{field} is '<other>', which is no token of tokenizer.json"):
        settle(source)


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


@pytest.mark.parametrize("trouble", ["{% for i in range(10**12) %}{% endfor %}", "{{ 'x' * 10**10 }}", "{{ 1 / 0 }}"])
def test_a_template_that_fails_after_an_answer_has_no_end_of_turn(source: Path, trouble: str) -> None:
    last = "{% if messages[-1]['role'] == 'assistant' %}" + trouble + "{% endif %}"
    (source / "chat_template.jinja").write_text(CHAT_TEMPLATE + last)
    assert settle(source)[0].end_ids == (1,)


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


def test_what_opens_the_next_turn_is_no_end(source: Path) -> None:
    (source / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<s>{% endif %}<s>"
    )
    assert settle(source)[0].end_ids == (1,)


def test_a_negative_id_means_none_and_one_without_a_row_is_refused(source: Path) -> None:
    edit(source / "config.json", lambda content: {**content, "pad_token_id": -1})
    assert read(settle(source)[1] / "config.json")["pad_token_id"] is None
    edit(source / "config.json", lambda content: {**content, "pad_token_id": 384})
    with pytest.raises(Corrupt, match=r"config\.json: pad_token_id is 384, but the model has 384 tokens"):
        make_view(Snapshot(source), source.parent / "again")


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
