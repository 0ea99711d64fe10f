"""What the script changes in llama.cpp's converter: each change alone, on the converter's own classes."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tasks.engines.llama_cpp.build import llama_cpp
from tasks.formats.gguf.ends import END_IDS
from tests.fixtures.tiny_checkpoint import make_tokenizer

pytestmark = pytest.mark.runtime("torch")

NORMAL, CONTROL = 1, 3


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script's module. What it sets in the converter's classes is taken back after the test."""
    tree = llama_cpp().tree
    monkeypatch.syspath_prepend(tree / "gguf-py")
    monkeypatch.syspath_prepend(tree)
    module = import_module("tasks.formats.gguf.hf_to_gguf")
    for owner, name in (
        (module.TextModel, "get_vocab_base_pre"),
        (module.TextModel, "get_vocab_base"),
        (module.ModelBase, "load_hparams"),
        (module.ModelBase, "index_tensors"),
        (module.gguf.SpecialVocab, "add_to_gguf"),
        (module.Phi3MiniModel, "set_vocab"),
        (module.gguf.GGUFWriter, "add_key_value"),
        (module.gguf.GGUFWriter, "add_sliding_window"),
    ):
        monkeypatch.setattr(owner, name, owner.__dict__[name])
    return module


def test_a_matched_pattern_comes_before_a_known_hash(script: Any) -> None:
    """SmolLM2's tokenizer has the hash of `smollm` also without the step that cuts digits apart."""
    chooser = script.PreTokenizer("gpt-2")
    chooser.by_hash = lambda model, tokenizer: "smollm"
    assert chooser.decide(None, None) == "gpt-2"
    assert chooser.decided == {"name": "gpt-2", "how": "exact pattern"}
    chooser.candidate = None
    assert chooser.decide(None, None) == "smollm"
    assert chooser.decided == {"name": "smollm", "how": "known hash"}


def test_a_hash_that_the_converter_does_not_know_decides_nothing(script: Any) -> None:
    def unknown(model: Any, tokenizer: Any) -> str:
        raise NotImplementedError

    chooser = script.PreTokenizer(None)
    chooser.by_hash = unknown
    assert (chooser.decide(None, None), chooser.decided) == (None, {})


def test_the_converter_asks_the_chooser(script: Any) -> None:
    script.PreTokenizer("qwen2").install()
    model = script.TextModel.__new__(script.TextModel)
    assert model.get_vocab_base_pre(make_tokenizer()) == "qwen2"


@pytest.mark.parametrize("opens", [True, False])
def test_a_file_says_how_texts_begin_and_end_by_the_tokenizer(script: Any, opens: bool) -> None:
    written: dict[str, Any] = {}
    kept: list[Any] = []
    script.gguf.SpecialVocab.add_to_gguf = lambda vocabulary, writer: kept.append(vocabulary)
    script.state_special_tokens(make_tokenizer(opens=opens), [1, 300])
    vocabulary = SimpleNamespace(
        add_special_token={"bos": not opens, "eos": True},
        special_token_ids={"bos": 0, "eos": 5},
        chat_template="{{ bos_token }}",
    )
    writer = SimpleNamespace(add_string=written.__setitem__)
    script.gguf.SpecialVocab.add_to_gguf(vocabulary, writer)
    assert kept == [vocabulary]
    assert vocabulary.add_special_token == {"bos": opens, "eos": False}
    assert (vocabulary.special_token_ids["eos"], vocabulary.chat_template) == (1, "{{ bos_token }}")
    assert written == {END_IDS: "1,300"}


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"bos_token": None}, '{% set bos_token = "" %}\n'),
        ({"bos_token": "</s>"}, '{% set bos_token = "</s>" %}\n'),
        ({"pad_token": "</s>"}, '{% set pad_token = "</s>" %}\n'),
        ({"mask_token": "</s>"}, ""),
        ({"turn_token": "</s>"}, '{% set turn_token = "</s>" %}\n'),
    ],
)
def test_the_token_that_opens_a_text_is_bos_whatever_its_name(script: Any, named: dict[str, Any], told: str) -> None:
    tokenizer = make_tokenizer(opens=True)
    for name, text in named.items():
        if name not in tokenizer.SPECIAL_TOKENS_ATTRIBUTES:
            tokenizer.SPECIAL_TOKENS_ATTRIBUTES = [*tokenizer.SPECIAL_TOKENS_ATTRIBUTES, name]
        setattr(tokenizer, name, text)
    script.gguf.SpecialVocab.add_to_gguf = lambda vocabulary, writer: None
    script.state_special_tokens(tokenizer, [1])
    template = "{{ bos_token }}{{ pad_token }}{{ turn_token }}"
    vocabulary = SimpleNamespace(add_special_token={}, special_token_ids={"bos": 5}, chat_template=template)
    script.gguf.SpecialVocab.add_to_gguf(vocabulary, SimpleNamespace(add_string=lambda *_: None))
    assert vocabulary.add_special_token == {"bos": True, "eos": False}
    assert vocabulary.special_token_ids["bos"] == 0
    assert vocabulary.chat_template == told + template


def test_an_ordinary_token_that_llama_cpp_takes_for_an_end_gets_another_text(script: Any) -> None:
    tokens = ["<s>", "</s>", "a", "<|im_end|>", "<|eot_id|>"]
    types = [CONTROL, CONTROL, NORMAL, NORMAL, NORMAL]
    script.TextModel.get_vocab_base = lambda model: (list(tokens), types, "gpt-2")
    tokenizer = SimpleNamespace(encode=lambda text, add_special_tokens: [2] * len(text))
    renamed = script.rename_mistaken_ends(tokenizer, [4])
    assert renamed == {}
    found, _, _ = script.TextModel.get_vocab_base(None)
    assert renamed == {3: "<|im_end|>"}
    assert found[3] != "<|im_end|>" and [*found[:3], found[4]] == [*tokens[:3], tokens[4]]


def test_names_that_transformers_drops_are_read_from_the_file(script: Any, tmp_path: Path) -> None:
    older, newer, *_ = script.OLDER_NAMES
    (tmp_path / "config.json").write_text(json.dumps({older: "written", newer: "written", "other": 5}))
    script.ModelBase.load_hparams = staticmethod(lambda folder, is_mistral_format: {newer: "read"})
    script.read_older_names()
    assert script.ModelBase.load_hparams(tmp_path, False) == {older: "written", newer: "read"}
    assert script.ModelBase.load_hparams(tmp_path / "missing", False) == {newer: "read"}


@pytest.mark.parametrize(("further", "none_expected"), [(0, True), (1, False), (None, False)])
def test_tensors_that_no_model_needs_are_not_seen(script: Any, further: int | None, none_expected: bool) -> None:
    tensors = {"v_head.summary.weight": (1, 4), "model.rotary_emb.inv_freq": (4,), "model.norm.weight": (4,)}
    loads = {name: lambda shape=shape: SimpleNamespace(shape=shape) for name, shape in tensors.items()}
    script.ModelBase.index_tensors = lambda model: loads
    script.show_needed_tensors(None)

    class Model:
        no_mtp = False
        filter_tensors = None
        opt_num_mtp_layers = further

    assert list(script.ModelBase.index_tensors(Model())) == ["model.norm.weight"]
    assert Model.no_mtp is none_expected


@pytest.mark.parametrize(("head", "seen"), [("lm_head.weight", ["model.embed_tokens.weight"]), (None, [])])
def test_a_head_that_is_the_embedding_is_seen_as_one_before_a_family_drops_it(
    script: Any, head: str | None, seen: list[str]
) -> None:
    stored = ("lm_head.weight", lambda: SimpleNamespace(shape=(8, 4)))
    script.ModelBase.index_tensors = lambda model: dict(filter(None, [model.filter_tensors(stored)]))
    script.show_needed_tensors(head)
    gemma = SimpleNamespace(filter_tensors=lambda item: None if item[0] == "lm_head.weight" else item)
    assert list(script.ModelBase.index_tensors(gemma)) == seen


@pytest.mark.parametrize(
    ("template", "opens"),
    [
        ("{{ bos_token }}{{ messages[0].content }}", True),
        ("{{ messages[0].content }}{{ bos_token }}", False),
        ("{{ raise_exception('never') }}", None),
        (None, None),
    ],
)
def test_whether_a_chat_opens_is_found_from_the_template(script: Any, template: str | None, opens: bool | None) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    assert script.chats_open(tokenizer) is opens


def test_a_byte_level_tokenizer_of_phi_is_read_as_one(script: Any) -> None:
    assert script.Phi3MiniModel.set_vocab is not script.TextModel._set_vocab_gpt2
    script.cut_by_bytes()
    assert script.Phi3MiniModel.set_vocab is script.TextModel._set_vocab_gpt2


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"vocab_size": 5}, 5),
        ({"vocab_size": 5, "text_config": {"vocab_size": 7}}, 7),
        ({}, None),
        ({"vocab_size": "5"}, None),
    ],
)
def test_the_rows_are_those_of_the_text_model(
    script: Any, tmp_path: Path, config: dict[str, Any], size: int | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert script.vocabulary_size(tmp_path) == size


def test_a_refusal_is_written_and_ends_the_script(script: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        script.refuse(tmp_path / "decision.json", "why")
    assert ended.value.code == script.REFUSED != 0
    assert json.loads((tmp_path / "decision.json").read_text()) == {"refused": "why"}


@pytest.mark.parametrize(
    ("lookup", "field"),
    [
        (lambda hparams: hparams["rotary_pct"], "rotary_pct"),
        (lambda tokens: tokens["<|user|>"], None),
    ],
)
def test_a_field_is_missing_where_the_converter_reads_the_configuration(
    script: Any, lookup: Callable[[dict[str, Any]], Any], field: str | None
) -> None:
    with pytest.raises(KeyError) as raised:
        lookup({})
    assert script.missing_field(raised.value) == field


def test_a_field_with_several_names_is_missing_under_all(script: Any) -> None:
    model = SimpleNamespace(hparams={})
    with pytest.raises(KeyError) as raised:
        script.TextModel.find_hparam(model, ["rotary_dim", "rope_dim"])
    assert script.missing_field(raised.value) == "rotary_dim, rope_dim"


FULL, SLIDING = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
    ("types", "size", "written"),
    [
        ([FULL, SLIDING], 130, {"size": 130, "layers": [False, True]}),
        ([FULL, FULL], 130, {"size": 0}),
        ([FULL, FULL], None, {"size": 0}),
        ([SLIDING, FULL], None, {"size": None, "layers": [True, False]}),
        # An array of two values cannot hold other types, and some families name none.
        ([FULL, "linear_attention"], 130, {"size": 130}),
        ([], None, {"size": None}),
    ],
)
def test_a_window_is_written_with_the_layers_that_have_it(
    script: Any, tmp_path: Path, types: list[str], size: int | None, written: dict[str, Any]
) -> None:
    found: dict[str, Any] = {}
    script.gguf.GGUFWriter.add_sliding_window = lambda writer, value: found.update(size=value)
    script.state_windows(types, tmp_path / "decision.json")
    writer = SimpleNamespace(arch="gemma3", add_sliding_window_pattern=lambda layers: found.update(layers=layers))
    script.gguf.GGUFWriter.add_sliding_window(writer, size)
    assert found == written


@pytest.mark.parametrize("size", [130, None])
def test_a_family_that_always_has_windows_is_refused_without_one(script: Any, tmp_path: Path, size: int | None) -> None:
    decision = tmp_path / "decision.json"
    script.state_windows([FULL, FULL], decision)
    with pytest.raises(SystemExit):
        script.gguf.GGUFWriter(None, "cohere2").add_sliding_window(size)
    said = "config.json: 'layer_types' names no layer with a window, and llama.cpp has some for cohere2"
    assert json.loads(decision.read_text()) == {"refused": said}


def test_a_value_that_is_missing_is_named(script: Any, tmp_path: Path) -> None:
    decision = tmp_path / "decision.json"
    writer = script.gguf.GGUFWriter(None, "cohere2")
    script.refuse_missing_values(decision)
    writer.add_sliding_window(130)
    assert not decision.exists()
    with pytest.raises(SystemExit):
        writer.add_sliding_window(None)
    said = "config.json: it has no value for cohere2.attention.sliding_window, which llama.cpp's converter writes"
    assert json.loads(decision.read_text()) == {"refused": said}
