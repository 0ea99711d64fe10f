"""Leaves out the fields of config.json by which a publisher's machine or code ran the model.

Older models were saved with them, and transformers follows them: it looks for a library that this machine lacks, or
returns tuples, which its own code cannot read. None of them changes what the model computes, because the type of the
numbers is that of the weights.
"""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.model_config import CONFIG
from tasks.checkpoint.special_ids import parts

NEUTRAL: Mapping[str, Any] = {
    "attn_implementation": None,
    "_attn_implementation": None,
    "experts_implementation": None,
    "_experts_implementation": None,
    "return_dict": True,
    "torchscript": False,
    "output_attentions": False,
    "output_hidden_states": False,
}
"""Their values that ask for nothing. Many configurations hold these values, so they stay."""

NEVER = "use_return_dict"
"""transformers cannot read a configuration that holds this field, whatever its value."""


TYPE_FIELDS = ("dtype", "torch_dtype")
TYPES = ("float32", "float", "float64", "double", "float16", "half", "bfloat16", None)
"""The values of TYPE_FIELDS that transformers reads. It fails on "auto", "bf16" and "torch.bfloat16"."""

QUANTIZATION = "quantization_config"
"""transformers loads no weights if this field is an empty object, which describes no quantization."""


def without_preferences(content: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return config.json without such fields, at its top and in its `text_config`, and notes on what was left out."""
    found = [(where, field) for where, part in parts(CONFIG, content) for field in part if _is_preference(part, field)]
    settled, *inner = (_without(part) for _, part in parts(CONFIG, content))
    named = [where.removeprefix(f"{CONFIG}: ") + field for where, field in found if field != QUANTIZATION]
    told = f"{CONFIG}: {', '.join(named)} say how the publisher's machine or code ran the model, so they are left out."
    empty = [f"{where}{QUANTIZATION} is empty, so it is left out." for where, field in found if field == QUANTIZATION]
    return {**settled, "text_config": inner[0]} if inner else settled, (*([told] if named else []), *empty)


def _without(part: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in part.items() if not _is_preference(part, field)}


def _is_preference(part: Mapping[str, Any], field: str) -> bool:
    value = part[field]
    if field in TYPE_FIELDS:
        return value not in TYPES
    if field == QUANTIZATION:
        return bool(value == {})
    return field == NEVER or (field in NEUTRAL and value != NEUTRAL[field])
