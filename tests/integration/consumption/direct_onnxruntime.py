"""Greedy tokens of `model.onnx` step by step with its KV cache: `direct_onnxruntime.py FOLDER REQUEST`.

With onnxruntime, numpy and tokenizers alone, and so without the code that serves it. REQUEST is JSON: prompts, texts;
first_ids; stop_ids; text, of which the cache's share is measured. Prints as JSON: `ids` per prompt; of the text how
many `tokens` it has, the largest `difference` of any logit between the whole at once and token by token, and whether
all best tokens are the same, `same_best`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

Array = NDArray[np.float32]

folder, request = Path(sys.argv[1]), json.loads(sys.argv[2])
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
shapes = {given.name: given.shape for given in session.get_inputs()}
caches = [name for name in shapes if name.startswith("past_key_values.")]
empty = [np.zeros((1, shapes[name][1], 0, shapes[name][3]), np.float32) for name in caches]
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))


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


def greedy(ids: list[int]) -> list[int]:
    """Return at most 64 most likely tokens after `ids`."""
    said: list[int] = []
    logits, past = forward(ids, empty)
    while len(said) < 64 and (token := int(logits[-1].argmax())) not in request["stop_ids"]:
        said.append(token)
        logits, past = forward([token], past)
    return said


def encode(text: str) -> list[int]:
    """Return ids, none added."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


ids = encode(request["text"])
whole, _ = forward(ids, empty)
rows, past = [], empty
for token in ids:
    row, past = forward([token], past)
    rows.append(row[0])
stepped = np.stack(rows)
found = {
    "ids": [greedy([*request["first_ids"], *encode(prompt)]) for prompt in request["prompts"]],
    "tokens": len(ids),
    "difference": float(np.abs(whole - stepped).max()),
    "same_best": bool((whole.argmax(-1) == stepped.argmax(-1)).all()),
}
print(json.dumps(found))
