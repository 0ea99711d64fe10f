"""One tokenizer is settled, for sources whose files contradict each other or a library."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused, Unsupported
from tasks.source.view.tokenizer import Settled, settle_tokenizer
from tests.fixtures import sentencepiece_bpe
from tests.fixtures.tiny_checkpoint import VOCABULARY, tiny_llama, write_checkpoint
from tests.tasks.source.view.sources import edit, names, read

PROBES = (" leading", "runs   of  spaces", "after</s> a special", "", "Zażółć 🚀")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A sound checkpoint, which a test spoils."""
    return write_checkpoint(tmp_path / "source", opens=True)


def settle(source: Path) -> tuple[Settled, Path]:
    view = source.parent / "view"
    view.mkdir()
    shutil.copyfile(source / "config.json", view / "config.json")
    return settle_tokenizer(Snapshot(source), view), view


def ids_of(file: Path, text: str, special: bool = False) -> list[int]:
    return list(tokenizers.Tokenizer.from_file(str(file)).encode(text, add_special_tokens=special).ids)


def test_a_class_that_drops_steps_of_the_tokenizer_is_replaced(source: Path) -> None:
    sentencepiece_bpe.write(source)
    found = transformers.AutoTokenizer.from_pretrained(source)
    assert any(
        found.encode(text, add_special_tokens=False) != ids_of(source / "tokenizer.json", text) for text in PROBES
    )
    settled, view = settle(source)
    assert (
        settled.class_replaced
        and "names the class LlamaTokenizer, with which transformers tokenizes" in settled.class_replaced
    )
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    for text in PROBES:
        for special in (False, True):
            assert loaded.encode(text, add_special_tokens=special) == ids_of(source / "tokenizer.json", text, special)
    assert read(view / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (loaded.bos_token, loaded.eos_token) == ("<s>", "</s>")
    assert (settled.opening, settled.closing) == ((1,), ())
    # Both files cut alike, so both are kept: some converters read one, some the other.
    assert {"tokenizer.json", "tokenizer.model"} <= names(view)


@pytest.mark.parametrize(("tokens", "kept"), [(290, "tokenizer.json"), (None, "tokenizer.json")])
def test_another_models_tokenizer_is_left_out(source: Path, tokens: int | None, kept: str) -> None:
    stale = sentencepiece_bpe.train(tokens) if tokens else b"AA== 0\nAQ== 1\n"
    (source / "tokenizer.model").write_bytes(stale)
    settled, view = settle(source)
    assert settled.file == kept
    assert "tokenizer.model" not in names(view)
    assert [note.split(":")[0] for note in settled.notes] == ["tokenizer.model is left out"]


def test_a_tokenizer_json_that_does_not_load_is_corrupt(source: Path) -> None:
    edit(source / "tokenizer.json", lambda content: {**content, "model": {"type": "BPE"}})
    with pytest.raises(Corrupt, match=r"^tokenizer\.json does not load \(.+\); ask the publisher to fix it\.$"):
        settle(source)


def test_a_model_alone_that_does_not_load_is_corrupt(source: Path) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    (source / "tokenizer.model").write_bytes(b"no model of the library")
    with pytest.raises(Corrupt, match=r"^tokenizer\.model does not load \(.+\); ask the publisher to fix it\.$"):
        settle(source)


def test_a_pointer_to_a_model_is_left_out(source: Path) -> None:
    """As in a clone without the large files."""
    (source / "tokenizer.model").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    settled, view = settle(source)
    assert "tokenizer.model" not in names(view)
    assert settled.notes == (
        "tokenizer.model is left out: it is not a SentencePiece model, and tokenizer.json is the tokenizer.",
    )


def test_a_model_that_no_class_of_transformers_takes_as_it_is_is_refused(source: Path) -> None:
    """A model of whole words, which is spelled as no tokenizer.json."""
    sentencepiece_bpe.write(source, json_file=False)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(kind="word", byte_fallback=False))
    with pytest.raises(
        Refused,
        match=r"^transformers tokenizes \d+ of 10\d\d texts .* differently from tokenizer\.model, whatever class loads "
        r"it; ask the publisher to fix tokenizer\.model or tokenizer_config\.json\.$",
    ):
        settle(source)


def test_two_tokenizers_of_one_size_that_differ_are_refused_with_the_text(source: Path) -> None:
    sentencepiece_bpe.write(source)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(dummy_prefix=False))
    with pytest.raises(
        Refused, match=r"tokenizer\.model and tokenizer\.json .* tokenize \d+ of \d+ texts \(the first is '"
    ):
        settle(source)


def test_a_model_that_cuts_few_texts_differently_stays_with_a_note(source: Path) -> None:
    sentencepiece_bpe.write(source)
    rare = {"type": "Replace", "pattern": {"String": "rock'n'roll"}, "content": "cat"}

    def with_rare(content: dict[str, Any]) -> dict[str, Any]:
        steps = [rare, *content["normalizer"]["normalizers"]]
        return {**content, "normalizer": {"type": "Sequence", "normalizers": steps}}

    edit(source / "tokenizer.json", with_rare)
    settled, view = settle(source)
    assert settled.file == "tokenizer.json"
    assert "tokenizer.model" in names(view)
    (note,) = settled.notes
    assert re.match(
        r"tokenizer\.model is kept: it has 320 tokens and tokenizer\.json has 320, and tokenizes [1-9] of 10\d\d texts",
        note,
    )


@pytest.mark.parametrize("added", [False, True])
def test_a_model_that_lacks_tokens_is_left_out_though_no_text_shows_it(source: Path, added: bool) -> None:
    """Texts of a domain that the tokenizer was extended for are not among those that are compared."""
    sentencepiece_bpe.write(source)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)

    def extended(content: dict[str, Any]) -> dict[str, Any]:
        model = {**content["model"], "vocab": {**content["model"]["vocab"], "zyxwvu": 320}}
        tokens = [{"id": 320, "content": "zyxwvu", **flags}] if added else []
        return {**content, "model": model, "added_tokens": [*content["added_tokens"], *tokens]}

    edit(source / "tokenizer.json", extended)
    settled, view = settle(source)
    assert ("tokenizer.model" in names(view)) == added
    lacks = "tokenizer.model is left out: it lacks 'zyxwvu' of tokenizer.json (tokens: 1)."
    assert settled.notes == (() if added else (lacks,))


def test_a_model_of_the_same_vocabulary_that_cuts_many_texts_differently_is_left_out(source: Path) -> None:
    sentencepiece_bpe.write(source)

    def without_prefix(content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "normalizer": content["normalizer"]["normalizers"][1]}

    edit(source / "tokenizer.json", without_prefix)
    settled, view = settle(source)
    assert settled.file == "tokenizer.json"
    assert "tokenizer.model" not in names(view)
    assert "tokenizer.model is left out: it has 320 tokens" in settled.notes[0]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_model_alone_whose_normalization_differs_in_few_texts_is_kept_with_a_note(source: Path, kind: str) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(normalization="nmt_nfkc", kind=kind))
    settled, _ = settle(source)
    assert settled.file == "tokenizer.model"
    (note,) = settled.notes
    assert re.match(
        r"transformers tokenizes \d+ of 10\d\d texts .* differently from the library of tokenizer\.model", note
    )


def test_a_class_that_no_other_one_is_nearer_than_keeps_its_configuration(source: Path) -> None:
    sentencepiece_bpe.write(source, json_file=False, tokenizer_class="PreTrainedTokenizerFast")
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(normalization="nmt_nfkc"))
    edit(source / "tokenizer_config.json", lambda config: {**config, "add_prefix_space": True})
    settled, view = settle(source)
    assert settled.class_replaced is None
    assert settled.notes[-1].endswith("differently from the library of tokenizer.model.")
    config = read(view / "tokenizer_config.json")
    assert (config["tokenizer_class"], config["add_prefix_space"]) == ("PreTrainedTokenizerFast", True)


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


@pytest.mark.parametrize("named", ["PreTrainedTokenizerFast", None])
def test_a_tokenizer_that_no_class_loads_is_refused(source: Path, named: str | None) -> None:
    fault = {"tokenizer_class": named, "added_tokens_decoder": {"5": "text"}}
    edit(source / "tokenizer_config.json", lambda config: {**config, **fault})
    with pytest.raises(
        Unsupported,
        match=r"^tokenizer_config\.json: transformers cannot load the tokenizer \(.+\), whatever class it names; ask",
    ):
        settle(source)


def test_a_flag_that_neither_the_file_nor_the_class_follows_is_told(source: Path) -> None:
    """As DeepSeek-V3's, whose byte-level tokenizer names a class of another kind."""
    tokenizer = read(source / "tokenizer.json")
    edit(source / "tokenizer.json", lambda content: {**content, "post_processor": None})
    assert tokenizer["post_processor"]
    named = {"add_bos_token": True, "tokenizer_class": "LlamaTokenizerFast"}
    edit(source / "tokenizer_config.json", lambda content: {**content, **named})
    settled, view = settle(source)
    assert settled.opening == ()
    assert settled.notes == (
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


def test_a_default_of_the_class_that_is_no_token_of_the_file_is_not_added(source: Path) -> None:
    (source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPTNeoXTokenizer"}))
    assert transformers.AutoTokenizer.from_pretrained(source).eos_token_id == VOCABULARY
    _, view = settle(source)
    assert read(view / "tokenizer.json") == read(source / "tokenizer.json")
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert (len(loaded), loaded.eos_token) == (VOCABULARY, None)


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


def test_a_class_that_loses_added_tokens_is_replaced_however_many_there_are(tmp_path: Path) -> None:
    """Only some of many added tokens are in the texts that are compared."""
    source = write_checkpoint(tmp_path / "source", tiny_llama(vocab_size=VOCABULARY + 40), opens=True)
    flags = {**dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False), "special": True}
    added = [{"id": VOCABULARY + number, "content": f"<|r{number}|>", **flags} for number in range(40)]
    edit(source / "tokenizer.json", lambda content: {**content, "added_tokens": [*content["added_tokens"], *added]})
    decoder = {str(token["id"]): {"content": token["content"], **flags} for token in added[:36]}
    edit(
        source / "tokenizer_config.json",
        lambda content: {**content, "tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": decoder},
    )
    settled, _ = settle(source)
    assert settled.class_replaced and settled.class_replaced.startswith("tokenizer_config.json names the class GPT2Tok")
    assert [settled.loaded.convert_tokens_to_ids(token["content"]) for token in added] == [
        token["id"] for token in added
    ]


@pytest.mark.parametrize(
    ("token", "own"),
    [({"id": VOCABULARY + 1, "content": "<far>"}, VOCABULARY), ({"id": VOCABULARY, "content": "a"}, None)],
    ids=["behind a gap", "in the vocabulary, too"],
)
def test_an_added_token_to_which_the_library_gives_another_id_is_refused(
    tmp_path: Path, token: dict[str, Any], own: int | None
) -> None:
    source = write_checkpoint(tmp_path / "source", tiny_llama(vocab_size=VOCABULARY + 2), opens=True)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    own = read(source / "tokenizer.json")["model"]["vocab"]["a"] if own is None else own
    edit(
        source / "tokenizer.json",
        lambda content: {**content, "added_tokens": [*content["added_tokens"], {**token, **flags}]},
    )
    with pytest.raises(
        Refused,
        match=rf"^The token '{token['content']}' has the id {token['id']} in tokenizer\.json, "
        rf"and transformers gives it the id {own}; ask the publisher to fix it\.$",
    ):
        settle(source)


def without_added(source: Path, text: str) -> None:
    """Take an added token out of the list of tokenizer.json; it stays in the vocabulary."""
    edit(
        source / "tokenizer.json",
        lambda content: {
            **content,
            "added_tokens": [token for token in content["added_tokens"] if token["content"] != text],
        },
    )


def test_tokens_that_only_a_file_beside_tokenizer_json_names_are_added_to_it(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", tiny_llama(vocab_size=VOCABULARY + 1), opens=True)
    without_added(source, "</s>")
    listed = {"</s>": 1, "<call>": VOCABULARY, "<none>": VOCABULARY + 1}
    (source / "added_tokens.json").write_text(json.dumps(listed))
    edit(source / "tokenizer_config.json", lambda content: {**content, "eos_token": "<s>"})
    settled, view = settle(source)
    theirs, text = transformers.AutoTokenizer.from_pretrained(source), "a</s>b<call>c"
    assert "added_tokens.json" not in names(view)
    assert ids_of(view / "tokenizer.json", text) == theirs.encode(text, add_special_tokens=False)
    assert {1, VOCABULARY} < set(ids_of(view / "tokenizer.json", text))
    assert [note[:40] for note in settled.notes] == [
        "added_tokens.json gives the token '<none",
        "added_tokens.json names tokens that toke",
    ]
    assert theirs.decode([1, VOCABULARY]) == settled.loaded.decode([1, VOCABULARY]) == "</s><call>"


def test_an_id_of_an_added_token_that_is_taken_is_refused(source: Path) -> None:
    (source / "added_tokens.json").write_text(json.dumps({"<far>": 5}))
    with pytest.raises(Refused, match=r"'<far>' has the id 5 in added_tokens\.json, .* ask the publisher to fix it"):
        settle(source)


def test_a_class_with_ids_of_its_own_is_the_truth_of_them(source: Path) -> None:
    write_bpe_model(source, "XLMRobertaTokenizer")
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(source / "sentencepiece.bpe.model")).encode("the cat")
    settled, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert loaded.encode("the cat", add_special_tokens=False) == [piece + 1 for piece in pieces]
    assert "gives the pieces of sentencepiece.bpe.model ids of its own" in settled.notes[0]


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
    settled, view = settle(source)
    from sentencepiece import SentencePieceProcessor

    truth = SentencePieceProcessor(model_file=str(source / "tokenizer.model"))
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    for text in (" leading", "runs   of  spaces", "Zażółć 🚀"):
        assert loaded.encode(text, add_special_tokens=False) == truth.encode(text)
    assert settled.file == "tokenizer.model"
    assert settled.opening == (1,)
    assert loaded.decode(truth.encode("runs   of  spaces")) == "runs   of  spaces"


@pytest.mark.parametrize("config", [None, {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>"}])
def test_a_model_alone_opens_texts_as_its_class_did_before_transformers_5(
    source: Path, config: dict[str, Any] | None
) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    (source / "tokenizer_config.json").unlink()
    if config is not None:
        (source / "tokenizer_config.json").write_text(json.dumps(config))
    assert transformers.AutoTokenizer.from_pretrained(source).encode("a")[0] != 1
    settled, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert settled.opening == (1,)
    assert loaded.encode("a")[0] == ids_of(view / "tokenizer.json", "a", special=True)[0] == 1
    assert (loaded.bos_token, loaded.eos_token) == ("<s>", "</s>")
    assert settled.notes[0].startswith("tokenizer_config.json does not say add_bos_token; LlamaTokenizer of")


def test_empty_texts_in_place_of_a_model_s_tokens_are_none(source: Path) -> None:
    """As in the first files of Llama."""
    sentencepiece_bpe.write(source, json_file=False)
    empty = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "")
    (source / "tokenizer_config.json").write_text(json.dumps({**empty, "tokenizer_class": "LLaMATokenizer"}))
    with pytest.raises(RecursionError):
        transformers.AutoTokenizer.from_pretrained(source)
    settled, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert (loaded.bos_token, loaded.eos_token, loaded.unk_token) == ("<s>", "</s>", "<unk>")
    assert settled.opening == (1,)


@pytest.mark.parametrize(
    ("flags", "pieces"),
    [
        ({}, ["▁a", "</s>", "▁a"]),
        ({"legacy": False}, ["▁a", "</s>", "a"]),
        ({"add_prefix_space": False}, ["a", "</s>", "a"]),
        ({"legacy": False, "add_prefix_space": False}, ["a", "</s>", "a"]),
    ],
)
def test_a_model_alone_puts_spaces_where_the_files_say(source: Path, flags: dict[str, bool], pieces: list[str]) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    edit(source / "tokenizer_config.json", lambda config: {**config, **flags})
    settled, view = settle(source)
    assert settled.loaded.tokenize("a</s>a") == pieces
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    from sentencepiece import SentencePieceProcessor

    # Converters to formats with their own engine read the model.
    own = SentencePieceProcessor(model_file=str(view / "tokenizer.model"))
    for text in ("the cat", " leading", "runs   of  spaces", ""):
        assert loaded.encode(text, add_special_tokens=False) == own.encode(text)
    assert loaded.decode(own.encode("the cat")) == "the cat"
    assert settled.notes == ()


def test_a_flag_that_nothing_follows_is_removed(source: Path) -> None:
    """tokenizer_config.json says `add_bos_token`, and no library adds one, for the post-processor adds none."""
    edit(source / "tokenizer.json", lambda content: {**content, "post_processor": None})
    edit(source / "tokenizer_config.json", lambda content: {**content, "add_bos_token": True})
    settled, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert list(settled.opening) + loaded.encode("a", add_special_tokens=False) == loaded.encode("a")
    assert settled.opening == ()
    assert "add_bos_token" not in read(view / "tokenizer_config.json")


def test_a_special_token_as_an_object_of_an_older_file_is_read(source: Path) -> None:
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    edit(source / "special_tokens_map.json", lambda content: {"unk_token": {"content": "</s>", **flags}})
    edit(source / "tokenizer_config.json", lambda content: {**content, "eos_token": {"content": "</s>", **flags}})
    with pytest.raises(TypeError, match="has to be either str or AddedToken"):
        transformers.PreTrainedTokenizerFast.from_pretrained(source)
    settled, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert (loaded.bos_token, loaded.eos_token, loaded.unk_token) == ("<s>", "</s>", "</s>")
    assert settled.notes == ()


def test_a_special_token_without_a_row_is_left_out(source: Path) -> None:
    """transformers would add it with the next id, at which the model fails."""
    edit(source / "tokenizer_config.json", lambda content: {**content, "pad_token": "[PAD]"})
    size = read(source / "config.json")["vocab_size"]
    assert max(transformers.AutoTokenizer.from_pretrained(source).encode("[PAD]")) >= size
    settled, view = settle(source)
    loaded = transformers.AutoTokenizer.from_pretrained(view)
    assert len(loaded) == size
    assert (loaded.pad_token, loaded.eos_token) == (None, "</s>")
    assert len(settled.notes) == 1
    assert "pad_token is '[PAD]', which is no token of tokenizer.json" in settled.notes[0]


@pytest.mark.parametrize("field", ["bos_token", "eos_token"])
def test_a_token_of_prompts_without_a_row_is_refused(source: Path, field: str) -> None:
    edit(source / "tokenizer_config.json", lambda content: {**content, field: "<other>"})
    with pytest.raises(Corrupt, match=f"{field} is '<other>', which is no token of tokenizer.json"):
        settle(source)


@pytest.mark.parametrize("listed", [False, True])
def test_special_tokens_map_is_believed_as_transformers_believes_it(source: Path, listed: bool) -> None:
    (source / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<s>"}))
    decoder: dict[str, Any] = {"added_tokens_decoder": {}} if listed else {}
    edit(source / "tokenizer_config.json", lambda config: {**config, **decoder})
    own = transformers.AutoTokenizer.from_pretrained(source).eos_token
    settled, view = settle(source)
    assert own == ("</s>" if listed else "<s>")
    assert transformers.AutoTokenizer.from_pretrained(view).eos_token == own
    (note,) = settled.notes
    assert note.startswith("eos_token is '</s>' in tokenizer_config.json and '<s>' in special_tokens_map.json")


@pytest.mark.parametrize("token", ["<unk>", {"content": "<unk>", "lstrip": False}])
def test_special_tokens_map_beside_a_model_alone_counts(source: Path, token: Any) -> None:
    sentencepiece_bpe.write(source, json_file=False)
    (source / "special_tokens_map.json").write_text(json.dumps({"eos_token": token}))
    settled, view = settle(source)
    assert settled.loaded.eos_token == transformers.AutoTokenizer.from_pretrained(source).eos_token == "<unk>"
    assert "special_tokens_map.json" not in names(view)
    assert settled.notes[0].startswith("eos_token is '</s>' in tokenizer_config.json and '<unk>' in special_tokens_map")


@pytest.mark.parametrize("named", ["CodeLlamaTokenizer", "GemmaTokenizer", "BertTokenizer"])
def test_a_class_that_loads_and_fails_on_texts_is_replaced(source: Path, named: str) -> None:
    edit(source / "tokenizer_config.json", lambda config: {**config, "tokenizer_class": named})
    settled, _ = settle(source)
    assert settled.class_replaced and f"names the class {named}" in settled.class_replaced
    assert settled.loaded.encode("the cat", add_special_tokens=False) == ids_of(source / "tokenizer.json", "the cat")


def test_vocab_and_merges_alone_get_a_tokenizer_json(source: Path) -> None:
    content = read(source / "tokenizer.json")
    (source / "vocab.json").write_text(json.dumps(content["model"]["vocab"]))
    merges = "\n".join(" ".join(merge) for merge in content["model"]["merges"])
    (source / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (source / "tokenizer.json").unlink()
    edit(source / "tokenizer_config.json", lambda config: {**config, "tokenizer_class": "GPT2Tokenizer"})
    own = transformers.AutoTokenizer.from_pretrained(source)
    settled, view = settle(source)
    assert settled.file == "vocab.json"
    for text in PROBES:
        assert ids_of(view / "tokenizer.json", text) == own.encode(text, add_special_tokens=False)


def test_special_tokens_map_beside_vocab_and_merges_counts(source: Path) -> None:
    (source / "vocab.json").write_text(json.dumps(read(source / "tokenizer.json")["model"]["vocab"]))
    (source / "tokenizer.json").unlink()
    (source / "merges.txt").write_text("#version: 0.2\n")
    (source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    (source / "special_tokens_map.json").write_text(json.dumps({"eos_token": "</s>"}))
    settled, view = settle(source)
    assert "special_tokens_map.json" not in names(view)
    assert settled.loaded.eos_token == transformers.AutoTokenizer.from_pretrained(view).eos_token == "</s>"


def test_a_source_without_a_tokenizer_has_none(source: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (source / name).unlink(missing_ok=True)
    settled, _ = settle(source)
    assert settled == Settled()


def test_a_token_without_a_row_is_taken_out_of_the_file(source: Path) -> None:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    token = {"id": VOCABULARY, "content": "[PAD]", "special": True, **flags}
    edit(source / "tokenizer.json", lambda content: {**content, "added_tokens": [*content["added_tokens"], token]})
    edit(source / "tokenizer_config.json", lambda config: {**config, "additional_special_tokens": ["<more>", "<s>"]})
    settled, _ = settle(source)
    assert len(settled.loaded) == VOCABULARY
    assert settled.loaded.convert_tokens_to_ids("<s>") == 0
    assert [note[:62] for note in settled.notes] == [
        "tokenizer.json adds '[PAD]', and the model has 384 tokens; the",
        "tokenizer_config.json: additional_special_tokens names '<more>",
    ]


def test_dropout_of_training_is_left_out(source: Path) -> None:
    text = "she sells sea shells " * 9
    whole = ids_of(source / "tokenizer.json", text)
    edit(source / "tokenizer.json", lambda content: {**content, "model": {**content["model"], "dropout": 0.2}})
    settled, view = settle(source)
    assert ids_of(view / "tokenizer.json", text) == whole
    assert settled.notes == ("tokenizer.json: dropout is 0.2, which is for training; the release has none.",)


def test_a_file_of_a_batch_that_does_not_name_its_type_is_read_by_all(source: Path) -> None:
    """As GPT-2's, which is older than the field."""
    whole, sound = ids_of(source / "tokenizer.json", "she sells"), read(source / "tokenizer.json")
    padding = {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None}
    token = {"pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"}

    def older(content: dict[str, Any]) -> dict[str, Any]:
        model = {field: value for field, value in content["model"].items() if field != "type"}
        return {**content, "model": model, "padding": {**padding, **token}}

    edit(source / "tokenizer.json", older)
    assert len(ids_of(source / "tokenizer.json", "she sells")) == 64
    settled, view = settle(source)
    assert ids_of(view / "tokenizer.json", "she sells") == whole
    assert read(view / "tokenizer.json") == sound
    assert settled.loaded("she sells")["input_ids"][1:] == whole


def test_flags_beside_the_file_give_way_to_it(source: Path) -> None:
    flags = {"single_word": True, "lstrip": True, "rstrip": True, "normalized": False, "special": True}
    beside = {"added_tokens_decoder": {"1": {"content": "</s>", **flags}}, "split_special_tokens": True}
    edit(source / "tokenizer_config.json", lambda config: {**config, **beside})
    settled, _ = settle(source)
    for text in (*PROBES, "a </s> b</s>c"):
        assert settled.loaded.encode(text, add_special_tokens=False) == ids_of(source / "tokenizer.json", text)
    assert [note[:47] for note in settled.notes] == [
        "tokenizer_config.json: split_special_tokens is ",
        "tokenizer_config.json gives '</s>' other flags ",
    ]
