"""How a source's files are spelled for llama.cpp's converter."""

import json
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from tasks.formats.gguf.spelling import (
    BY_SIGMOID,
    caveats_of_marks,
    caveats_of_opening,
    caveats_of_space,
    spell,
    spell_config,
    spell_template,
    spell_tokenizer_config,
    with_space_first,
)


def test_older_names_are_added_and_never_replaced() -> None:
    assert spell_config({"model_type": "gpt2", "n_positions": 64})["n_ctx"] == 64
    assert spell_config({"model_type": "gpt2", "n_positions": 64, "n_ctx": 32})["n_ctx"] == 64, "it is stale"
    rope = {"partial_rotary_factor": 0.25, "rope_theta": 1e4}
    spelled = spell_config({"model_type": "gpt_neox", "rope_parameters": rope})
    assert (spelled["rotary_pct"], spelled["rotary_emb_base"]) == (0.25, 1e4)
    assert "rotary_pct" not in spell_config({"model_type": "llama", "rope_parameters": rope})


def test_cohere_2_rotates_whole_heads() -> None:
    assert spell_config({"model_type": "cohere2"})["rotary_pct"] == 1.0
    assert spell_config({"model_type": "cohere2", "rotary_pct": 0.5})["rotary_pct"] == 1.0


def test_minimax_m2_counts_the_dimensions_that_are_rotated() -> None:
    saved = {"model_type": "minimax_m2", "head_dim": 64, "rope_parameters": {"partial_rotary_factor": 0.5}}
    assert spell_config(saved)["rotary_dim"] == 32
    assert spell_config({**saved, "rope_parameters": {}})["rotary_dim"] == 64
    assert spell_config({**saved, "rotary_dim": 16})["rotary_dim"] == 16
    assert "rotary_dim" not in spell_config({**saved, "model_type": "llama"})


def test_glm_gets_the_names_that_the_converter_reads() -> None:
    saved = {"model_type": "glm", "max_position_embeddings": 500, "rms_norm_eps": 1e-7, "head_dim": 32}
    wanted = {"seq_length": 500, "layernorm_epsilon": 1e-7, "attention_dim": 32}
    assert spell_config(saved) == {**saved, **wanted}
    for named in ({"rope_parameters": {"rope_theta": 5e5}}, {"rope_theta": 5e5}):
        assert spell_config({**saved, **named}) == {**saved, **named, **wanted, "rope_ratio": 50.0}
    assert spell_config({"model_type": "glm"}) == {"model_type": "glm"}


def test_a_falcon_of_the_first_design_has_one_key_head() -> None:
    saved = {"model_type": "falcon", "multi_query": True, "num_kv_heads": 4}
    assert spell_config(saved)["num_kv_heads"] == 1
    for other in ({"multi_query": False}, {"new_decoder_architecture": True}):
        assert spell_config({**saved, **other})["num_kv_heads"] == 4


@pytest.mark.parametrize("family", BY_SIGMOID)
def test_families_that_score_their_experts_by_a_sigmoid_say_so(family: str) -> None:
    assert spell_config({"model_type": family})["scoring_func"] == "sigmoid"
    assert spell_config({"model_type": family, "scoring_func": "softmax"})["scoring_func"] == "softmax"
    assert "scoring_func" not in spell_config({"model_type": "deepseek_v2"})


def test_bloom_gets_the_context_that_it_was_trained_with() -> None:
    assert spell_config({"model_type": "bloom"})["seq_length"] == 2048
    assert spell_config({"model_type": "bloom", "seq_length": 4096})["seq_length"] == 4096
    assert "seq_length" not in spell_config({"model_type": "mpt"})


def test_added_tokens_and_the_first_space_come_from_tokenizer_json() -> None:
    token = {"id": 7, "content": "<x>", "special": True, "lstrip": False}
    bpe = {"type": "BPE", "byte_fallback": True}
    prepend = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace"}]}
    spelled = spell_tokenizer_config({"a": 1}, {"added_tokens": [token], "model": bpe, "normalizer": prepend})
    assert spelled == {
        "a": 1,
        "added_tokens_decoder": {"7": {"content": "<x>", "special": True, "lstrip": False}},
        "add_prefix_space": True,
    }
    assert spell_tokenizer_config({}, {"model": bpe, "normalizer": {"type": "Replace"}})["add_prefix_space"] is False
    assert spell_tokenizer_config({"b": 2}, {"model": {"type": "BPE"}}) == {"b": 2}


@pytest.mark.parametrize("start", ["", " ", "\n", "\n\n", "  {% if 1 %}a{% endif %}", "a"])
def test_a_template_is_told_the_tokens_that_llama_cpp_gives_otherwise(start: str) -> None:
    template = start + "{{ bos_token }}b{{ eos_token }}{{ sep_token }}"
    jinja = Environment(trim_blocks=True, lstrip_blocks=True)
    told = {"bos_token": "", "sep_token": '<"\\｜\n>'}
    spelled = jinja.from_string(spell_template(template, told)).render(bos_token="<1>", eos_token="<2>")
    assert spelled == jinja.from_string(template).render(eos_token="<2>", sep_token=told["sep_token"])
    assert spell_template(template, {"pad_token": "<p>"}) == template


def test_an_opening_of_several_tokens_has_a_caveat() -> None:
    assert caveats_of_opening(0) == caveats_of_opening(1) == []
    (caveat,) = caveats_of_opening(2)
    assert (caveat.text[-20:], caveat.explains) == ("and this tokenizer 2", "opening_parity")


def test_links_are_replaced_and_their_files_stay(tmp_path: Path) -> None:
    view, model = tmp_path / "view", tmp_path / "model"
    (view / "additional_chat_templates").mkdir(parents=True)
    (view / "additional_chat_templates" / "rag.jinja").write_text("x")
    (view / "config.json").write_text('{"n_positions": 64}')
    (model / "additional_chat_templates").mkdir(parents=True)
    for name in ("config.json", "additional_chat_templates/rag.jinja"):
        (model / name).symlink_to(view / name)
    spell(model)
    assert json.loads((model / "config.json").read_text()) == {"n_positions": 64, "n_ctx": 64}
    assert (view / "config.json").read_text() == '{"n_positions": 64}'
    assert [path.name for path in model.iterdir()] == ["config.json"]
    assert (view / "additional_chat_templates" / "rag.jinja").exists()


def test_the_settings_of_a_tokenizer_are_spelled_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(
        '{"added_tokens": [{"id": 7, "content": "<x>"}], "model": {"type": "BPE"}}'
    )
    spell(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["added_tokens_decoder"] == {"7": {"content": "<x>"}}


def test_added_tokens_for_runs_of_spaces_have_a_caveat() -> None:
    model = {"type": "BPE", "byte_fallback": True}
    runs = [{"id": 5, "content": "\u2581\u2581"}, {"id": 6, "content": "\u2581a"}, {"id": 7, "content": "\u2581" * 3}]
    (said,) = caveats_of_marks({"model": model, "added_tokens": runs})
    assert said.text.startswith("llama.cpp tokenizes U+2581")
    assert caveats_of_marks({"model": model, "added_tokens": runs[1:2]}) == []
    assert caveats_of_marks({"model": {"type": "BPE"}, "added_tokens": runs}) == []


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"type": "Metaspace", "prepend_scheme": "first"}, "one that begins with one or follows a special token"),
        ({"type": "Metaspace", "replacement": " ", "prepend_scheme": "first"}, "one that follows a special token"),
        ({"type": "Metaspace", "prepend_scheme": "always"}, "one that begins with one"),
        ({"type": "Metaspace", "add_prefix_space": True}, "one that begins with one"),
        ({"type": "Metaspace", "prepend_scheme": "never"}, None),
        (None, None),
    ],
)
def test_a_space_before_some_texts_alone_has_its_caveat(step: Any, words: str | None) -> None:
    tokenizer = {"model": {"type": "BPE", "byte_fallback": True}, "pre_tokenizer": step}
    found = [(caveat.text.partition(" none before ")[2], caveat.explains) for caveat in caveats_of_space(tokenizer)]
    assert found == ([(words, "tokenizer_parity_nfc")] if words else [])
    assert caveats_of_space({**tokenizer, "model": {"type": "BPE"}}) == []


def test_a_space_before_some_texts_becomes_one_before_all() -> None:
    step = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True, "split": True}
    nested = {"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [step]}}
    found = with_space_first(nested)
    kept = {"type": "Metaspace", "replacement": "▁", "split": True, "prepend_scheme": "never"}
    assert found["pre_tokenizer"] == {"type": "Sequence", "pretokenizers": [kept]}
    assert [one["type"] for one in found["normalizer"]["normalizers"]] == ["NFC", "Prepend", "Replace"]
    assert with_space_first(found) == found
