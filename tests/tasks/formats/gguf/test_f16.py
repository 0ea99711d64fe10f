"""The F16 file, made by llama.cpp's own converter: what it carries, and every source that it refuses."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file
from tokenizers import AddedToken

from tasks.errors import Corrupt, Unsupported
from tasks.formats.gguf.ends import END_IDS
from tasks.formats.gguf.f16 import model_name
from tasks.formats.gguf.header import ArrayValue, read_header
from tasks.formats.gguf.same_weights import same_weights
from tests.fixtures import sentencepiece_bpe
from tests.fixtures.checkpoints import store_head_alone
from tests.fixtures.context import FolderContext, make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.tiny_checkpoint import LICENCE, SIZES, VOCABULARY, tiny_llama, write_checkpoint
from tests.tasks.formats.gguf.conversions import SOURCE, Made, context_of, make, run

pytestmark = pytest.mark.runtime("torch")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("f16")


@pytest.fixture(scope="module")
def f16(root: Path) -> Made:
    context = context_of(root / "f16", SOURCE, snapshot=make(root / "snapshot", pre_tokenizer="qwen2"))
    return context.output, run("gguf-f16", context)


@pytest.fixture(autouse=True)
def quick_converter(f16: Made) -> Iterator[None]:
    """Run the converter in children of this process, but for the fixture `f16`, which is made as the product does."""
    with shortcuts():
        yield


def test_f16_carries_all_that_serving_needs(f16: Made) -> None:
    folder, facts = f16
    assert facts["pre_tokenizer"] == {"name": "qwen2", "how": "exact pattern"}
    assert facts["tensor_types"] == {"f16": 15, "f32": 5}
    assert (facts["architecture"], facts["context_length"], facts["chat_template"]) == ("llama", 256, True)
    assert (facts["bos"], facts["eos"], facts["add_bos"]) == (0, 1, True)
    assert (folder / "LICENSE").read_text() == LICENCE
    assert (folder / "Tiny-Llama-F16.gguf").stat().st_size == facts["size_bytes"]
    assert {path.name for path in folder.iterdir()} >= {"MLmodel", "requirements.txt", "code"}
    assert (folder / "code" / "hallmark_gguf_serving.py").is_file()


def test_a_file_begins_and_ends_texts_as_the_tokenizer_and_the_configurations_say(root: Path) -> None:
    snapshot = make(root / "ends", pre_tokenizer="qwen2")
    named = json.loads((snapshot / "generation_config.json").read_text())
    (snapshot / "generation_config.json").write_text(json.dumps({**named, "eos_token_id": [1, 300, 301, 302]}))
    # The tokenizer's own steps decide, and not what this file claims.
    settings = json.loads((snapshot / "tokenizer_config.json").read_text())
    claims = {**settings, "add_bos_token": False, "add_eos_token": True}
    (snapshot / "tokenizer_config.json").write_text(json.dumps(claims))
    context = context_of(root / "ends-f16", SOURCE, snapshot=snapshot)
    facts = run("gguf-f16", context)
    metadata = read_header(context.output / "Tiny-Llama-F16.gguf").metadata
    named = {kind: metadata.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom")}
    assert named == {"eos": 1, "eot": 300, "eom": 301}
    assert metadata[END_IDS] == "1,300,301,302"
    assert facts["add_bos"] is True
    assert metadata["tokenizer.ggml.add_eos_token"] is False


def test_a_file_without_a_first_token_of_its_own_has_none_in_chats(root: Path) -> None:
    snapshot = make(root / "nameless", pre_tokenizer="qwen2")
    settings = json.loads((snapshot / "tokenizer_config.json").read_text())
    del settings["bos_token"]
    (snapshot / "tokenizer_config.json").write_text(json.dumps(settings))
    context = context_of(root / "nameless-f16", SOURCE, snapshot=snapshot)
    facts = run("gguf-f16", context)
    template = read_header(context.output / "Tiny-Llama-F16.gguf").metadata["tokenizer.chat_template"]
    assert template == '{% set bos_token = "" %}\n' + (snapshot / "chat_template.jinja").read_text()
    assert facts["bos"] == 0


def test_tensors_that_no_model_needs_are_left_out(root: Path) -> None:
    source = make(root / "surplus")
    path = source / "model.safetensors"
    surplus = {
        "v_head.summary.weight": torch.ones(1, 256),
        "model.layers.0.self_attn.rotary_emb.cos_cached": torch.ones(1, 1, 8, 16),
    }
    save_file({**load_file(path), **surplus}, path, metadata={"format": "pt"})
    context = context_of(root / "surplus-f16", SOURCE, snapshot=source)
    run("gguf-f16", context)
    (file,) = context.output.glob("*.gguf")
    assert not [
        tensor.name for tensor in read_header(file).tensors if "v_head" in tensor.name or "cached" in tensor.name
    ]


def test_a_tied_model_that_stores_only_its_head_gives_the_same_weights(f16: Made, root: Path) -> None:
    source = store_head_alone(make(root / "alone", pre_tokenizer="qwen2"))
    context = context_of(root / "alone-f16", SOURCE, snapshot=source)
    run("gguf-f16", context)
    assert same_weights(context.output, f16[0])


def test_the_model_card_is_no_part_of_the_model(f16: Made, root: Path) -> None:
    metadata = read_header(f16[0] / "Tiny-Llama-F16.gguf").metadata
    assert metadata["general.name"] == "Tiny-Llama"
    assert not [key for key in metadata if "license" in key]
    assert not [value for value in metadata.values() if isinstance(value, str) and str(root) in value]


def with_added(folder: Path, *added: AddedToken) -> Path:
    """Write a model whose tokenizer has these added tokens beside <s> and </s>."""
    config = tiny_llama(vocab_size=VOCABULARY + 8)
    tokenizer = transformers.AutoTokenizer.from_pretrained(write_checkpoint(folder, config, dtype="bfloat16"))
    tokenizer.add_tokens(list(added))
    tokenizer.save_pretrained(folder)
    return folder


def named(folder: Path, snapshot: Path, repository: str) -> tuple[str, dict[str, Any]]:
    """Convert a source of this name; return the model's name in the file, and the facts."""
    context = context_of(folder, {"snapshot": {"repository": f"acme/{repository}"}}, snapshot=snapshot)
    facts = run("gguf-f16", context)
    return str(read_header(context.output / f"{repository}-F16.gguf").metadata["general.name"]), facts


def test_a_model_with_the_flags_of_phi_3_has_its_name_in_the_file(root: Path) -> None:
    kept = [AddedToken(text, special=True) for text in ("<unk>", "<|endoftext|>")]
    stripped = [AddedToken(text, special=True, rstrip=True) for text in ("</s>", "<|user|>")]
    snapshot = with_added(root / "phi", *kept, *stripped)
    name, facts = named(root / "phi-f16", snapshot, "NuExtract-1.5")
    assert name == "NuExtract-1.5 (phi-3)" and "verdict_caveats" not in facts


def test_a_model_without_the_flags_of_phi_3_does_not_have_its_name_in_the_file(root: Path) -> None:
    """With that name, llama.cpp does not load the file: the vocabulary has no <unk>."""
    snapshot = with_added(root / "other", AddedToken("<|user|>", special=True, rstrip=True))
    name, facts = named(root / "other-f16", snapshot, "Llama-phi3-distill")
    assert name == "Llama-phi 3-distill"
    (caveat,) = facts["verdict_caveats"]
    assert caveat["text"].endswith("and this tokenizer sets some for '<|user|>'")


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}


def scaled(folder: Path, scaling: Mapping[str, Any]) -> Path:
    """Write a model whose configuration scales rotary positions, in the older spelling."""
    config = json.loads((make(folder, pre_tokenizer="qwen2") / "config.json").read_text())
    del config["rope_parameters"]
    config |= {"rope_theta": 10000.0, "rope_scaling": scaling, "max_position_embeddings": 512}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"truncate": False}, "'truncate' .* is false"), ({"attention_factor": 1.0}, "'attention_factor' .* is 1,")],
)
def test_rotary_positions_that_llama_cpp_does_not_have_are_refused(
    root: Path, changes: dict[str, Any], words: str
) -> None:
    name = f"yarn-{next(iter(changes))}"
    context = context_of(root / f"{name}-f16", SOURCE, snapshot=scaled(root / name, {**YARN, **changes}))
    with pytest.raises(Unsupported, match=rf"^config\.json: {words}.* leave the gguf targets out"):
        run("gguf-f16", context)


@pytest.mark.parametrize(
    "scaling",
    [
        YARN,
        {"rope_type": "linear", "factor": 4.0},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 128,
        },
    ],
    ids=["yarn", "linear", "llama3"],
)
def test_rotary_positions_that_llama_cpp_has_are_written(root: Path, scaling: dict[str, Any]) -> None:
    name = str(scaling["rope_type"])
    context = context_of(root / f"{name}-f16", SOURCE, snapshot=scaled(root / name, scaling))
    rope = run("gguf-f16", context)["rope"]
    assert rope.get("scaling", "llama3") == name
    assert rope.get("frequencies") == ("per dimension" if name == "llama3" else None)


def test_a_field_that_transformers_does_not_save_is_named(root: Path) -> None:
    """As of HunYuan's mixture of experts: the converter reads fields of the code that transformers replaced."""
    source = root / "hunyuan"
    settings: dict[str, Any] = {"num_experts": 2, "moe_topk": 1, "head_dim": 16, "pad_token_id": 1}
    write_checkpoint(source, transformers.HunYuanMoEV1Config(**SIZES, **settings), dtype="bfloat16", opens=True)
    context = context_of(root / "hunyuan-f16", SOURCE, snapshot=source)
    words = (
        r"^config\.json: it has no field 'moe_intermediate_size', which llama\.cpp's converter reads; leave the gguf"
    )
    with pytest.raises(Unsupported, match=rf"{words} targets out of the recipe for this model\.$"):
        run("gguf-f16", context)


GEMMA = {"head_dim": 64, "query_pre_attn_scalar": 64, "pad_token_id": 1, "vocab_size": 320}


def gemma(root: Path, name: str, config: Any) -> FolderContext:
    """Write a model of this configuration with Gemma's tokenizer; return the context of its conversion."""
    source = write_checkpoint(root / name, config, dtype="bfloat16", opens=True)
    sentencepiece_bpe.write(source, tokenizer_class="PreTrainedTokenizerFast", dummy_prefix=False)
    return context_of(root / f"{name}-f16", SOURCE, snapshot=source)


@pytest.mark.parametrize(
    ("field", "value", "engine"), [("query_pre_attn_scalar", 56, "64"), ("attn_logit_softcapping", None, "50.0")]
)
def test_a_field_that_llama_cpp_does_not_read_is_refused_if_it_has_another_value(
    root: Path, field: str, value: Any, engine: str
) -> None:
    context = gemma(root, f"gemma-{field}", transformers.Gemma2Config(**{**SIZES, **GEMMA, field: value}))
    said = (
        f"config.json: '{field}' is {json.dumps(value)}, and llama.cpp computes with {engine}; leave the gguf targets"
    )
    with pytest.raises(Unsupported, match=f"^{re.escape(said)} out of the recipe for this model"):
        run("gguf-f16", context)


def with_layers(root: Path, kind: str, types: list[str], window: int | None) -> FolderContext:
    sizes = {**SIZES, **GEMMA, "layer_types": types, "sliding_window": window, "max_position_embeddings": 512}
    return gemma(root, f"{kind}-{types[1]}-{window}", getattr(transformers, kind)(**sizes))


@pytest.mark.parametrize(
    ("kind", "types", "window", "written"),
    [
        ("Gemma2Config", ["full_attention", "sliding_attention"], 100, (100, ArrayValue(2))),
        ("Gemma3TextConfig", ["full_attention", "full_attention"], 100, (0, None)),
        ("Gemma3TextConfig", ["full_attention", "full_attention"], None, (0, None)),
    ],
)
def test_a_file_says_which_layers_have_a_window(
    root: Path, kind: str, types: list[str], window: int | None, written: tuple[int, ArrayValue | None]
) -> None:
    context = with_layers(root, kind, types, window)
    facts = run("gguf-f16", context)
    header = read_header(context.output / "Tiny-Llama-F16.gguf")
    key = f"{header.text('general.architecture')}.attention.sliding_window"
    assert (header.metadata[key], header.metadata.get(f"{key}_pattern")) == written
    assert facts["context_length"] == 512 and "context_limit" not in facts


def test_a_family_whose_windows_llama_cpp_cannot_leave_out_is_refused_without_them(root: Path) -> None:
    context = with_layers(root, "Gemma2Config", ["full_attention", "full_attention"], 100)
    with pytest.raises(Unsupported, match=r"^config\.json: 'layer_types' names no layer with a window, and llama\.cpp"):
        run("gguf-f16", context)


def test_an_unknown_pre_tokenizer_is_refused_with_its_pattern(root: Path) -> None:
    make(root / "unknown", pre_tokenizer="unknown")
    context = context_of(root / "unknown-f16", SOURCE, snapshot=root / "unknown")
    with pytest.raises(Unsupported, match=r"\[\^e\]\+\|e"):
        run("gguf-f16", context)
    assert not list(context.output.iterdir())


def test_a_class_that_numbers_the_pieces_itself_is_refused_before_any_tensor_is_read(root: Path) -> None:
    """As fairseq's models: a Unigram model under another name, and ids that are not its places."""
    source = make(root / "fairseq")
    sentencepiece_bpe.write_renumbered(source)
    context = context_of(root / "fairseq-f16", SOURCE, snapshot=source)
    with pytest.raises(Unsupported, match=r"^sentencepiece\.bpe\.model: a Unigram tokenizer chooses"):
        run("gguf-f16", context)
    assert not list(context.output.iterdir())


def test_the_normalization_of_a_sentencepiece_model_alone_is_a_caveat(root: Path) -> None:
    source = make(root / "nmt")
    sentencepiece_bpe.write(source, json_file=False)
    (source / "tokenizer.model").write_bytes(sentencepiece_bpe.train(normalization="nmt_nfkc"))
    facts = run("gguf-f16", context_of(root / "nmt-f16", SOURCE, snapshot=source))
    (caveat,) = facts["verdict_caveats"]
    assert caveat["text"].startswith("llama.cpp leaves the normalization of texts out (nmt_nfkc, ")
    assert caveat["explains"] == "tokenizer_parity_nfc"


def test_a_space_that_is_put_before_a_space_is_a_caveat(root: Path) -> None:
    source = make(root / "metaspace")
    sentencepiece_bpe.write(source, model=False, tokenizer_class="PreTrainedTokenizerFast")
    content = json.loads((source / "tokenizer.json").read_text())
    (source / "tokenizer.json").write_text(json.dumps(sentencepiece_bpe.with_metaspace(content)))
    facts = run("gguf-f16", context_of(root / "metaspace-f16", SOURCE, snapshot=source))
    (caveat,) = facts["verdict_caveats"]
    assert caveat["text"].startswith("llama.cpp puts a space before every text, and this tokenizer none before one")
    assert caveat["explains"] == "tokenizer_parity_nfc"


def test_numbers_beyond_float16_are_reported_by_tensor(root: Path) -> None:
    make(root / "large", factors={"model.layers.1.mlp.down_proj.weight": 1e7})
    with pytest.raises(Unsupported, match=r"'blk\.1\.ffn_down\.weight'"):
        run("gguf-f16", context_of(root / "large-f16", SOURCE, snapshot=root / "large"))


def test_an_unknown_architecture_is_refused_at_once(root: Path, tmp_path: Path) -> None:
    for name in ("snapshot", "analysis/view"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "analysis" / "view" / "config.json").write_text('{"architectures": ["NewForCausalLM"]}')
    inputs = {name: tmp_path / name for name in ("snapshot", "analysis")}
    with pytest.raises(Unsupported, match="NewForCausalLM"):
        run("gguf-f16", make_context(tmp_path / "task", inputs, SOURCE))


def test_a_missing_configuration_is_reported(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    with pytest.raises(Corrupt, match=r"config\.json"):
        run("gguf-f16", context_of(tmp_path / "task", SOURCE, snapshot=tmp_path / "snapshot"))


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"repository": "acme/Tiny-Llama"}, "Tiny-Llama"),
        ({"repository": "Tiny-Llama"}, "Tiny-Llama"),
        ({"repository": ""}, "model"),
        ({"repository": 5}, "model"),
        ({}, "model"),
    ],
)
def test_a_file_is_named_after_the_repository(tmp_path: Path, facts: dict[str, object], name: str) -> None:
    (tmp_path / "snapshot").mkdir()
    context = make_context(tmp_path / "task", {"snapshot": tmp_path / "snapshot"}, {"snapshot": facts})
    assert model_name(context) == name


@pytest.mark.parametrize("text", ["[]", "{", '"config"'])
def test_a_configuration_that_is_no_object_is_corrupt(tmp_path: Path, text: str) -> None:
    for name in ("snapshot", "analysis/view"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "analysis" / "view" / "config.json").write_text(text)
    inputs = {name: tmp_path / name for name in ("snapshot", "analysis")}
    with pytest.raises(Corrupt, match=r"config\.json (is|must be)"):
        run("gguf-f16", make_context(tmp_path / "task", inputs, SOURCE))
