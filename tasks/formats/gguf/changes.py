"""What llama.cpp's converter does to tensors besides giving them other names, by architecture.

Each line of CHANGES says which stored tensors of which architectures hold the source's numbers otherwise than in their
order, and how: as views of the source's array, which are then stored one after the other. Sources are the functions
`modify_tensors` of the converter (conversion/*.py). An architecture without a line keeps all tensors as they are.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tasks.formats.stored import Arithmetic

Bits = NDArray[Any]
Config = Mapping[str, Any]
Views = Callable[[Bits, Config, str], Iterable[Bits]]


@dataclass(frozen=True)
class Change:
    """How a tensor is stored: in words; the views of the source's array; and what is computed of each number."""

    how: str
    views: Views
    then: Arithmetic = "as it is"


def _number(config: Config, *names: str) -> int:
    """Return the first of these fields of config.json, or 0."""
    return next((int(config[name]) for name in names if isinstance(config.get(name), int)), 0)


def _heads(config: Config) -> int:
    return _number(config, "num_attention_heads", "n_head", "n_heads")


def _as_it_is(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    return (bits,)


def _halves_of_heads(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    """The two halves of each head's rows alternate: llama.cpp rotates neighbouring numbers."""
    heads = _number(config, "num_key_value_heads") if ".attn_k." in name else 0
    heads = heads or _heads(config)
    return (bits.reshape(heads, 2, len(bits) // heads // 2, *bits.shape[1:]).swapaxes(1, 2),)


def _transposed(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    return (bits.T,)


def _parts_of_heads(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    """Each head has its query, key and value together; the file has all queries, then all keys, then all values."""
    heads = _heads(config)
    return (bits.reshape(heads, 3, len(bits) // heads // 3, *bits.shape[1:]).swapaxes(0, 1),)


def _parts_of_groups(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    """The same with several queries for one key and value."""
    heads = _heads(config)
    groups = _number(config, "num_kv_heads", "n_head_kv") if config.get("new_decoder_architecture") else 1
    groups = groups if config.get("new_decoder_architecture") or config.get("multi_query", True) else heads
    parts = bits.reshape(groups, heads // groups + 2, -1, *bits.shape[1:])
    return parts[:, :-2], parts[:, -2:-1], parts[:, -1:]


def _first_half(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    return (bits[..., : bits.shape[-2] // 2, :],)


def _second_half(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    return (bits[..., bits.shape[-2] // 2 :, :],)


def _linear_parts(bits: Bits, config: Config) -> tuple[Bits, Bits, Bits, Bits]:
    """Query, key, value and gate of linear attention, which a key's head has together."""
    keys = _number(config, "linear_num_key_heads")
    key = _number(config, "linear_key_head_dim")
    value = _number(config, "linear_num_value_heads") // keys * _number(config, "linear_value_head_dim")
    heads = bits.reshape(keys, 2 * key + 2 * value, -1)
    return heads[:, :key], heads[:, key : 2 * key], heads[:, 2 * key : 2 * key + value], heads[:, 2 * key + value :]


def _linear_attention(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    return _linear_parts(bits, config)[:3]


def _linear_gate(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    return _linear_parts(bits, config)[3:]


def _heads_of_both(bits: Bits, config: Config) -> tuple[Bits, int]:
    """Key and value of each head, which latent attention makes from one vector: [heads, rows, columns]; keys' rows."""
    return bits.reshape(_heads(config), -1, bits.shape[-1]), _number(config, "qk_nope_head_dim")


def _latent_keys(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    heads, keys = _heads_of_both(bits, config)
    return (heads[:, :keys].swapaxes(1, 2),)


def _latent_values(bits: Bits, config: Config, name: str) -> Iterable[Bits]:
    heads, keys = _heads_of_both(bits, config)
    return (heads[:, keys:],)


AS_IT_IS = Change("renamed", _as_it_is)
PERMUTED = Change("rows permuted within heads", _halves_of_heads)
TRANSPOSED = Change("transposed", _transposed)
BY_PARTS = Change("rows regrouped by query, key and value", _parts_of_heads)
BY_GROUPS = Change("rows regrouped by query, key and value", _parts_of_groups)
PLUS_ONE = Change("plus one", _as_it_is, "plus one")
MINUS_EXP = Change("minus its exponential", _as_it_is, "minus its exponential")
GATE, UP = Change("the first half of its rows", _first_half), Change("the second half of its rows", _second_half)
LINEAR, LINEAR_GATE = (
    Change("rows of query, key and value, regrouped", _linear_attention),
    Change("rows of the gate", _linear_gate),
)

LATENT_KEYS = Change("each head's rows of the key, transposed", _latent_keys)
LATENT_VALUES = Change("each head's rows of the value", _latent_values)

ROTATED_BY_NEIGHBOURS = "llama|granite|smollm3|olmo|mistral3|minicpm|arctic"
CHANGES = tuple(
    (re.compile(architectures), re.compile(tensors), change)
    for architectures, tensors, change in (
        (ROTATED_BY_NEIGHBOURS, r"blk\.\d+\.attn_[qk]\.(weight|bias)", PERMUTED),
        ("gpt2", r"blk\.\d+\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight", TRANSPOSED),
        ("bloom|gptneox", r"blk\.\d+\.attn_qkv\.(weight|bias)", BY_PARTS),
        ("falcon", r"blk\.\d+\.attn_qkv\.(weight|bias)", BY_GROUPS),
        ("gemma|gemma2|gemma3", r".*norm\.weight", PLUS_ONE),
        ("qwen3next", r"(?!.*ssm_norm).*norm\.weight", PLUS_ONE),
        ("mamba|mamba2|qwen3next", r"blk\.\d+\.ssm_a(\.weight)?", MINUS_EXP),
        ("qwen3next", r"blk\.\d+\.attn_qkv\.weight", LINEAR),
        ("deepseek2", r"blk\.\d+\.attn_k_b\.weight", LATENT_KEYS),
        ("deepseek2", r"blk\.\d+\.attn_v_b\.weight", LATENT_VALUES),
        ("qwen3next", r"blk\.\d+\.attn_gate\.weight", LINEAR_GATE),
    )
)
"""The first line that matches counts: architecture and tensor by their names in the file."""

FUSED = re.compile(r".*\.experts\.gate_up_proj(\.weight)?")
"""Source tensors that hold two matrices of each expert, the gate's rows first."""

HALVES = {".ffn_gate_exps.": GATE, ".ffn_up_exps.": UP}
"""Which half of such a tensor a stored one holds, by a part of its name."""

KNOWN = frozenset(
    (
        *("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "bloom", "command-r", "falcon", "gpt2", "starcoder"),
        *("gptneox", "granite", "mamba", "olmo2", "olmoe", "phi2", "phi3", "qwen2moe", "qwen3moe", "qwen3next"),
        *("smollm3", "stablelm", "starcoder2", "deepseek2"),
    )
)
"""Architectures of which tests compare a file tensor by tensor. A tensor of another one that does not agree with its
source is reported as not compared, because its conversion may change it in a way that is not written here."""

DIVIDED = (
    (re.compile(r"(.*\.experts\.)gate_up_proj(\.weight)?"), (r"\1gate_proj.weight", r"\1up_proj.weight")),
    (re.compile(r"(.*\.experts\.down_proj)"), (r"\1.weight",)),
    (re.compile(r"(.*\.)kv_b_proj\.weight"), (r"\1k_b_proj.weight", r"\1v_b_proj.weight")),
    (re.compile(r"(.*\.)in_proj_qkvz\.weight"), (r"\1in_proj_qkv.weight", r"\1in_proj_z.weight")),
)
"""Source tensors that are stored as several, or under another name: the names as the converter's table spells them."""

CONSTANTS = {
    "rope_freqs.weight": "factors of the rotary frequencies, from rope_scaling in config.json",
    "rope_factors_long.weight": "factors of the rotary frequencies for long texts, from rope_scaling in config.json",
    "rope_factors_short.weight": "factors of the rotary frequencies for short texts, from rope_scaling in config.json",
}
"""Stored tensors that hold no numbers of the source, and what they are."""

AHEAD = "a layer that predicts further tokens, which llama.cpp does not run here"

LEFT_OUT = (
    (re.compile(r"(^|\.)mtp\w*\."), AHEAD),
    (
        re.compile(
            r"(^|\.)(vision_\w+|visual|audio_\w+|\w*projector|connector|resampler|embed_vision|embed_audio)\."
            r"|(^|\.)image_newline$"
        ),
        "a part for pictures or sound, which a text model does not have",
    ),
)
"""Tensors of the source that the converter leaves out on purpose, with the reason."""


def change_of(architecture: str, name: str, source: str) -> Change:
    """Return how a stored tensor of an architecture holds the numbers of a tensor of the source."""
    if FUSED.fullmatch(source):
        return next((change for part, change in HALVES.items() if part in name), AS_IT_IS)
    for architectures, tensors, change in CHANGES:
        if architectures.fullmatch(architecture) and tensors.fullmatch(name):
            return change
    return AS_IT_IS


def divided(name: str) -> Iterable[str]:
    """Return the names of the tensors as which a source tensor is stored, in the spelling of the source."""
    for pattern, names in DIVIDED:
        if match := pattern.fullmatch(name):
            return [match.expand(one) for one in names]
    return [name]


def is_known(architecture: str) -> bool:
    """Return whether the conversion of an architecture is known here."""
    return architecture in KNOWN


def source_name(architecture: str, name: str) -> str:
    """Return a source tensor's name as the converter's table of names spells it."""
    name = name.replace("language_model.", "")
    if name.endswith("e_score_correction_bias"):
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
    if architecture == "bloom":
        name = name.removeprefix("transformer.")
    if name.endswith(".dt_bias"):
        name = f"{name.removesuffix('.dt_bias')}.dt_proj.bias"
    return name
