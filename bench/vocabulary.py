"""Enlarges a byte-pair tokenizer to a vocabulary of any size.

The demo model's, a trained byte-level one, gets as many more merges as there is room for: pairs of its tokens, drawn by
a seeded generator. So every engine loads, and searches, a vocabulary and a table of merges of the real size.
"""

import random
from typing import Any

SEED = 20260301


def enlarge(tokenizer: dict[str, Any], size: int) -> dict[str, Any]:
    """Return a BPE tokenizer's JSON with merges added until its vocabulary has `size` tokens."""
    vocabulary, merges = dict(tokenizer["model"]["vocab"]), list(tokenizer["model"]["merges"])
    special = {token["content"] for token in tokenizer["added_tokens"]}
    parts = [token for token in vocabulary if token not in special]
    source = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    while len(vocabulary) < size:
        left, right = source.choice(parts), source.choice(parts)
        if left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
            merges.append([left, right])
    return {**tokenizer, "model": {**tokenizer["model"], "vocab": vocabulary, "merges": merges}}
