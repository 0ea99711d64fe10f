"""Tensors that checkpoints store and the model does not need: constants that its code computes, and heads of training.

No task checks their values, counts them as parameters or writes them into a release.
"""

import re
from collections.abc import Sequence

CONSTANT = re.compile(
    r"(.*\.)?(\w*inv_freq|position_ids|version"
    r"|(rotary_emb|rotary)\.(cos|sin)_cached"
    r"|(attn|attention)\.(masked_bias|causal_mask)"
    r"|embed_positions\.weights)"
)
"""Constants that older code stored with the weights and today's computes.

`masked_bias` is minus infinity in half precision. `embed_positions.weights` holds sines; a trained embedding of
positions is a `weight`.
"""

MASK = re.compile(r"(.*\.)?(attn|attention)\.bias")
"""An attention mask of GPT-2-like models, if it has several dimensions. A bias has one."""

VALUE_HEAD = re.compile(r"v_head\..+")
"""The value head that TRL trains beside a language model. Source: trl/models/modeling_value_head.py."""


def is_unused(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor of a checkpoint is none of the language model's parameters, by its name and shape."""
    return is_value_head(name) or bool(CONSTANT.fullmatch(name) or (MASK.fullmatch(name) and len(shape) > 1))


def is_value_head(name: str) -> bool:
    """Whether a tensor belongs to the value head of a model that was trained with TRL."""
    return VALUE_HEAD.fullmatch(name) is not None
