"""Runs `model.onnx` over a text at once, and token by token with its KV cache: `step_by_step.py FOLDER TEXT`.

Prints as JSON how many tokens the text has, the largest difference of any logit, and whether all best tokens are equal.
With onnxruntime alone, and so without the code that serves it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

Array = NDArray[np.float32]

folder = Path(sys.argv[1])
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
shapes = {given.name: given.shape for given in session.get_inputs()}
caches = [name for name in shapes if name.startswith("past_key_values.")]
empty = [np.zeros((1, shapes[name][1], 0, shapes[name][3]), np.float32) for name in caches]


def forward(ids: list[int], past: list[Array]) -> tuple[Array, list[Array]]:
    """Return the logits [tokens, vocabulary] of `ids` after `past`, and the cache with them in it."""
    begin = past[0].shape[2]
    given = {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, begin + len(ids)), np.int64),
        "position_ids": np.arange(begin, begin + len(ids), dtype=np.int64)[None],
        **dict(zip(caches, past, strict=True)),
    }
    logits, *present = session.run(None, {name: value for name, value in given.items() if name in shapes})
    return logits[0], present


ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(sys.argv[2]).ids
whole, _ = forward(ids, empty)
rows, past = [], empty
for token in ids:
    row, past = forward([token], past)
    rows.append(row[0])
stepped = np.stack(rows)
print(
    json.dumps(
        {
            "tokens": len(ids),
            "difference": float(np.abs(whole - stepped).max()),
            "same_best": bool((whole.argmax(-1) == stepped.argmax(-1)).all()),
        }
    )
)
