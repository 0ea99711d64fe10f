"""The weights of every family are held against its architecture, by the names that its checkpoints have."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tasks.checkpoint.architecture import Differences, compare, find_quantized
from tasks.checkpoint.load import build_without_weights
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.unused import is_unused
from tests.fixtures.tiny_architectures import ARCHITECTURES, tiny

pytestmark = pytest.mark.runtime("torch")

NONE = Differences((), (), (), ())
NORM, UP = "model.norm.weight", "model.layers.0.mlp.up_proj.weight"


def saved(folder: Path, name: str) -> Path:
    """Write the family's tiny checkpoint as transformers saves it, without a tokenizer."""
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(tiny(name)).save_pretrained(folder)
    return folder


def differences(folder: Path, extra_layers: int = 0) -> Differences:
    shapes = {name: tensor.shape for name, tensor in Snapshot(folder).tensors.items()}
    found = compare(build_without_weights(folder), shapes, extra_layers)
    return Differences(tuple(found.missing), tuple(found.unexpected), tuple(found.mismatched), tuple(found.unconverted))


def edit(folder: Path, drop: str = "", **add: torch.Tensor) -> None:
    path = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if name != drop}
    save_file({**kept, **add}, path)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_sound_checkpoint_has_no_differences(tmp_path: Path, name: str) -> None:
    assert differences(saved(tmp_path, name)) == NONE


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_nothing_that_a_model_saves_is_unused(tmp_path: Path, name: str) -> None:
    tensors = Snapshot(saved(tmp_path, name)).tensors
    assert [name for name, tensor in tensors.items() if is_unused(name, tensor.shape)] == []


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_one_tensor_less_is_seen(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path, name)
    # An embedding may be tied, and a bias of several dimensions is a mask.
    names = [
        name for name in Snapshot(folder).tensors if "mlp" in name or "norm" in name or "mixer" in name or "fc" in name
    ]
    edit(folder, drop=names[-1])
    found = differences(folder)
    assert found.missing or found.unconverted or found.mismatched


def test_each_difference_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path, "llama")
    edit(folder, drop=NORM, **{UP: torch.ones(3, 64), "model.layers.0.self_attn.q_proj.bias": torch.ones(64)})
    assert differences(folder) == Differences(
        (NORM,), ("model.layers.0.self_attn.q_proj.bias",), ((UP, (3, 64), (512, 256)),), ()
    )


@pytest.mark.parametrize(
    ("name", "constant", "shape"),
    [
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", (8,)),
        ("gpt2", "transformer.h.0.attn.bias", (1, 1, 8, 8)),
        ("gpt2", "transformer.h.0.attn.masked_bias", ()),
        ("gpt_neox", "gpt_neox.layers.0.attention.bias", (1, 1, 8, 8)),
        ("gpt_neo", "transformer.h.0.attn.attention.masked_bias", ()),
        ("opt", "model.decoder.version", (1,)),
        ("gptj", "transformer.h.0.attn.causal_mask", (1, 1, 8, 8)),
        ("llama", "model.layers.0.self_attn.rotary_emb.cos_cached", (1, 1, 8, 16)),
        ("llama", "model.layers.0.self_attn.rotary_emb.sin_cached", (1, 1, 8, 16)),
        ("opt", "model.decoder.embed_positions.weights", (8, 64)),
        ("gpt2", "v_head.summary.weight", (1, 64)),
        ("qwen3", "mtp.layers.0.mlp.up_proj.weight", (128, 64)),
    ],
)
def test_constants_of_older_checkpoints_are_no_difference(
    tmp_path: Path, name: str, constant: str, shape: tuple[int, ...]
) -> None:
    folder = saved(tmp_path, name)
    edit(folder, **{constant: torch.ones(shape)})
    assert differences(folder) == NONE


def test_a_tied_head_may_be_stored(tmp_path: Path) -> None:
    folder = saved(tmp_path, "llama")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tie_word_embeddings": True}))
    assert differences(folder) == NONE
    edit(folder, drop="lm_head.weight")
    assert differences(folder) == NONE


def test_layers_for_further_tokens_lie_behind_the_models_own(tmp_path: Path) -> None:
    folder = saved(tmp_path, "deepseek_v3")
    edit(folder, **{"model.layers.2.eh_proj.weight": torch.ones(64, 128)})
    assert differences(folder).unexpected == ("model.layers.2.eh_proj.weight",)
    assert differences(folder, extra_layers=1) == NONE


def test_names_of_the_base_model_are_those_of_the_model(tmp_path: Path) -> None:
    folder = saved(tmp_path, "llama")
    weights = load_file(folder / "model.safetensors")
    save_file({name.removeprefix("model."): tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    assert differences(folder) == NONE


def quantized(folder: Path, **types: str) -> list[str]:
    tensors = Snapshot(folder).tensors
    stored = {name: tensor.dtype for name, tensor in tensors.items()} | types
    return find_quantized(build_without_weights(folder), stored, {name: tensors[name].shape for name in tensors})


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_what_a_model_saves_is_stored_as_what_it_is(tmp_path: Path, name: str) -> None:
    assert quantized(saved(tmp_path, name)) == []


@pytest.mark.parametrize("dtype", ["I8", "U8", "F8_E4M3"])
def test_a_parameter_of_any_name_in_a_type_for_quantized_numbers_is_seen(tmp_path: Path, dtype: str) -> None:
    folder = saved(tmp_path, "qwen3_moe")
    packed = "model.layers.0.mlp.experts.gate_up_proj"
    assert quantized(folder, **{packed: dtype, NORM: "F64"}) == [packed]


@pytest.mark.parametrize(
    ("name", "constant", "dtype"),
    [
        ("gpt2", "h.0.attn.masked_bias", "U8"),
        ("gpt2", "transformer.h.0.attn.bias", "BOOL"),
        ("gpt_neox", "gpt_neox.layers.0.attention.bias", "U8"),
        ("llama", "model.position_ids", "I64"),
    ],
)
def test_a_constant_may_be_stored_as_what_it_is(tmp_path: Path, name: str, constant: str, dtype: str) -> None:
    assert quantized(saved(tmp_path, name), **{constant: dtype}) == []
