"""Each way in which a configuration may contradict the weights is named by its field."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Unsupported
from tasks.formats.registry import load_format, parse_target
from tasks.source.analyze import analyze_snapshot
from tasks.source.checks.shapes import check_shapes
from tasks.source.checks.tokenizer import check_tokenizer
from tasks.source.parameters import ScanParameters
from tests.fixtures.checkpoints import (
    HIDDEN,
    VOCABULARY,
    llama_config,
    llama_tensors,
    make_checkpoint,
    store_head_alone,
    write_json,
    write_tokenizer,
    write_weights,
)

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)


def check(folder: Path) -> tuple[str, bool]:
    return check_shapes(Snapshot(folder), PARAMETERS)


@pytest.mark.parametrize("tied", [True, False])
def test_what_fits(tmp_path: Path, tied: bool) -> None:
    assert check(make_checkpoint(tmp_path, tied=tied))[1] is True


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vocab_size": 300}, "vocab_size is 300, but lm_head.weight has 320 rows"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3, but the weights have no layer 2"),
    ],
)
def test_a_tied_model_that_stores_only_its_head_is_judged_by_it(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    assert check(store_head_alone(make_checkpoint(tmp_path)))[1] is True
    with pytest.raises(Corrupt, match=message):
        check(store_head_alone(make_checkpoint(tmp_path, config=config)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vocab_size": 300}, "vocab_size is 300, but model.embed_tokens.weight has 320 rows"),
        ({"vocab_size": "320"}, "vocab_size is '320', which is not a whole number"),
        ({"hidden_size": 128}, "hidden_size is 128, but model.embed_tokens.weight has 64 columns"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3, but the weights have no layer 2"),
        ({"num_hidden_layers": 1}, "num_hidden_layers is 1, but the weights have a layer 1"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False, but the weights have no output head"),
    ],
)
def test_what_does_not(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(Corrupt, match=message):
        check(make_checkpoint(tmp_path, config=config))


def test_layers_for_further_tokens_lie_behind_the_models_own(tmp_path: Path) -> None:
    extra = {"model.layers.2.mlp.up_proj.weight": np.ones((4, HIDDEN), np.float32)}
    folder = make_checkpoint(tmp_path, tensors=extra, config={"num_nextn_predict_layers": 1})
    assert check(folder)[1] is True
    with pytest.raises(Corrupt, match="a layer 2"):
        check(make_checkpoint(tmp_path, tensors=extra))


def test_layers_of_another_part_are_not_counted(tmp_path: Path) -> None:
    vision = {f"vision_model.encoder.layers.{n}.mlp.weight": np.ones((4, 4), np.float32) for n in range(9)}
    assert check(make_checkpoint(tmp_path, tensors=vision))[1] is True


def test_a_projected_embedding(tmp_path: Path) -> None:
    narrow = {"model.embed_tokens.weight": np.ones((VOCABULARY, 16), np.float32)}
    assert check(make_checkpoint(tmp_path, tensors=narrow, config={"word_embed_proj_dim": 16}))[1] is True


def multimodal(folder: Path, tokens: int) -> Path:
    """A Llama that sees, as transformers writes it: its embedding has 8 rows more than the vocabulary and the head."""
    text = llama_config(tied=False) | {"model_type": "mllama_text_model", "vocab_size": tokens}
    tensors = {f"language_model.{name}": tensor for name, tensor in llama_tensors(tied=False).items()}
    rows = np.ones((VOCABULARY + 8, HIDDEN), np.float32)
    write_weights(folder, {**tensors, "language_model.model.embed_tokens.weight": rows}, 1, "bfloat16")
    write_json(
        folder / "config.json",
        {"architectures": ["MllamaForConditionalGeneration"], "model_type": "mllama", "text_config": text},
    )
    write_tokenizer(folder)
    return folder


def test_rows_for_images_are_none_of_the_vocabulary(tmp_path: Path) -> None:
    assert check(multimodal(tmp_path, VOCABULARY)) == (f"vocabulary {VOCABULARY}, hidden size {HIDDEN}, 2 layers", True)
    analysis = analyze_snapshot(Snapshot(tmp_path))
    assert (analysis.vocabulary_size, analysis.tied_embeddings) == (VOCABULARY, False)
    # What cannot be made of it is then said for each target.
    with pytest.raises(Unsupported, match="MllamaForConditionalGeneration is not a causal language model"):
        load_format("onnx").predict(parse_target("onnx-int8"), analysis)


def test_rows_for_images_are_no_tokens_where_the_size_is_left_to_the_family(tmp_path: Path) -> None:
    folder = multimodal(tmp_path, VOCABULARY)
    config = json.loads((folder / "config.json").read_text())
    del config["text_config"]["vocab_size"]
    write_json(folder / "config.json", config)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": VOCABULARY, "content": "<|image|>"})
    write_json(folder / "tokenizer.json", tokenizer)
    assert "1 added ones have no row" in check_tokenizer(Snapshot(folder), PARAMETERS)[0]


def test_other_rows_still_contradict_the_vocabulary_of_a_model_that_sees(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match=f"vocab_size is {VOCABULARY + 8}, but language_model.model.embed_tokens.weight"):
        check(multimodal(tmp_path, VOCABULARY + 8))


def test_a_text_model_cut_out_of_one_that_sees_has_its_head(tmp_path: Path) -> None:
    config = {"architectures": ["MllamaForCausalLM"], "model_type": "mllama_text_model"}
    rows = {"model.embed_tokens.weight": np.ones((VOCABULARY + 8, HIDDEN), np.float32)}
    assert check(make_checkpoint(tmp_path, tied=False, tensors=rows, config=config))[1] is True


def test_families_that_name_it_otherwise_are_not_judged(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, config={"vocab_size": 1})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b"model.embed_tokens.weight", b"model.embeddings12.weight"))
    assert check(folder)[1] is False


@pytest.mark.parametrize(
    "config",
    [
        {"num_attention_heads": None},
        {"num_key_value_heads": None},
        {"head_dim": None},
        {"num_attention_heads": 8, "auto_map": {"AutoModel": "m.M"}},
        {"head_dim": 32, "v_head_dim": 16},
    ],
)
def test_heads_that_only_the_familys_code_knows_are_not_judged(tmp_path: Path, config: dict[str, Any]) -> None:
    assert check(make_checkpoint(tmp_path, config=config))[1] is True


def test_heads_of_one_kind_of_layers_are_enough(tmp_path: Path) -> None:
    wider = {
        "model.layers.0.self_attn.k_proj.weight": np.ones((64, HIDDEN), np.float32),
        "model.layers.0.self_attn.o_proj.weight": np.ones((HIDDEN, 128), np.float32),
    }
    assert check(make_checkpoint(tmp_path, tensors=wider))[1] is True


def attention(layer: str, keys: tuple[int, ...], output: tuple[int, ...]) -> dict[str, Any]:
    return {
        f"{layer}.self_attn.k_proj.weight": np.ones(keys, np.float32),
        f"{layer}.self_attn.o_proj.weight": np.ones(output, np.float32),
    }


def layers(keys: tuple[int, ...], output: tuple[int, ...]) -> dict[str, Any]:
    return attention("model.layers.0", keys, output) | attention("model.layers.1", keys, output)


def test_heads_may_be_wider_than_the_hidden_size(tmp_path: Path) -> None:
    config = {"head_dim": 32}
    assert check(make_checkpoint(tmp_path, tensors=layers((64, HIDDEN), (HIDDEN, 128)), config=config))[1] is True
    with pytest.raises(Corrupt, match=r"heads is 4, but model\.layers\.0\.self_attn\.o_proj\.weight has 96 columns"):
        check(make_checkpoint(tmp_path, tensors=layers((64, HIDDEN), (HIDDEN, 96)), config=config))


def test_layers_whose_keys_are_no_matrix_are_not_judged(tmp_path: Path) -> None:
    odd = layers((5, HIDDEN), (HIDDEN, HIDDEN)) | attention("model.layers.0", (5,), (HIDDEN, HIDDEN))
    with pytest.raises(
        Corrupt, match=r"heads is 2, but model\.layers\.1\.self_attn\.k_proj\.weight has 5 rows, of 16 for"
    ):
        check(make_checkpoint(tmp_path, tensors=odd))


def test_heads_of_another_part_do_not_excuse_wrong_ones(tmp_path: Path) -> None:
    others = attention("vision.layers.0", (32, HIDDEN), (HIDDEN, HIDDEN))
    others["model.blocks.0.self_attn.k_proj.weight"] = np.ones((32, HIDDEN), np.float32)
    with pytest.raises(Corrupt, match="num_key_value_heads is 2"):
        check(make_checkpoint(tmp_path, tensors=layers((5, HIDDEN), (HIDDEN, HIDDEN)) | others))


@pytest.mark.parametrize(("heads", "kv_heads"), [(8, 2), (4, 4), (3, 2)])
def test_heads_are_compared_without_a_stated_size(tmp_path: Path, heads: int, kv_heads: int) -> None:
    config = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": None}
    with pytest.raises(Corrupt, match=r"(num_attention_heads|num_key_value_heads) is \d, but model.layers.0.self_attn"):
        check(make_checkpoint(tmp_path, config=config))


def test_what_the_configuration_leaves_to_the_family_is_not_judged(tmp_path: Path) -> None:
    absent = dict.fromkeys(("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"))
    folder = make_checkpoint(tmp_path, config=absent)
    assert check(folder) == (f"vocabulary {VOCABULARY}, hidden size {HIDDEN}, 2 layers", True)
    assert check_tokenizer(Snapshot(folder), PARAMETERS)[1] is True
