"""The rows of a checkpoint by a plain forward of transformers."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM


def rows(folder: Path, tokens: NDArray[np.int64], dtype: torch.dtype = torch.float32) -> NDArray[np.float32]:
    """Return logits [windows, tokens, vocabulary] for ids [windows, tokens], one window after the other."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    with torch.no_grad():
        found = [model(torch.from_numpy(window)[None], use_cache=False).logits[0].float().numpy() for window in tokens]
    return np.stack(found)
