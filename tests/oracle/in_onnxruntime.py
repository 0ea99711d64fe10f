"""The rows of an exported graph, with its keys and values carried from call to call by hand."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

AT_ONCE = 256
"""Tokens of one call. Where activations are quantized dynamically, their scale depends on how many are read at once, so
it is the number that serving reads."""


def rows(folder: Path, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return logits [windows, tokens, vocabulary] for ids [windows, tokens]."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return np.stack([_window(session, window) for window in tokens])


def _window(session: onnxruntime.InferenceSession, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    given = {one.name: one.shape for one in session.get_inputs()}
    outputs = [one.name for one in session.get_outputs()]
    feeds = {
        name: np.zeros((1, shape[1], 0, shape[3]), np.float32)
        for name, shape in given.items()
        if name.startswith("past_key_values.")
    }
    found = []
    for start in range(0, len(ids), AT_ONCE):
        end = min(start + AT_ONCE, len(ids))
        feeds["input_ids"] = ids[None, start:end]
        feeds["attention_mask"] = np.ones((1, end), np.int64)
        feeds["position_ids"] = np.arange(start, end)[None]
        answer = dict(zip(outputs, session.run(None, {name: feeds[name] for name in given}), strict=True))
        found.append(answer.pop("logits")[0])
        feeds |= {name.replace("present.", "past_key_values."): value for name, value in answer.items()}
    return np.concatenate(found)
