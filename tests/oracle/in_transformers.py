"""The rows of a checkpoint by plain calls of transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

AT_ONCE = 256
"""Tokens of one call in half precision, as many as serving reads: how sums are rounded depends on it."""


def rows(folder: Path, tokens: NDArray[np.int64], dtype: torch.dtype = torch.float32) -> NDArray[np.float32]:
    """Return logits [windows, tokens, vocabulary] for ids [windows, tokens]; in float32 by one call for a window."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    at_once = tokens.shape[1] if dtype == torch.float32 else AT_ONCE
    with torch.no_grad():
        return np.stack([_window(model, torch.from_numpy(ids)[None], at_once) for ids in tokens])


def _window(model: Any, ids: torch.Tensor, at_once: int) -> NDArray[np.float32]:
    past, found = None, []
    for part in ids.split(at_once, dim=1):
        answer = model(part, past_key_values=past, use_cache=ids.shape[1] > at_once)
        past = answer.past_key_values if ids.shape[1] > at_once else None
        found.append(answer.logits[0].float().numpy())
    return np.concatenate(found)
