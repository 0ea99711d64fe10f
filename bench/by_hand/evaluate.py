"""python -m bench.by_hand.evaluate TARGET ARTIFACT SOURCE OUTPUT: an artifact against the source, in plain numpy."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.by_hand.engines import open_model


def main(target: str, artifact: Path, source: Path, output: Path) -> None:
    """Write one JSON file of numbers."""
    model = open_model(target, artifact, threads=1)
    tokens = np.load(source / "tokens.npy")
    kept = np.load(source / "logprobs.npy", mmap_mode="r")
    shape = (len(tokens), tokens.shape[1] - 1)
    kld, nll, source_nll, agrees = (np.zeros(shape) for _ in range(4))
    for window, ids in enumerate(tokens):
        row = 0
        for block in model.logprobs([int(token) for token in ids]):
            found = block[: shape[1] - row]
            rows = slice(row, row + len(found))
            theirs, each, following = kept[window, rows], np.arange(len(found)), ids[row + 1 : row + 1 + len(found)]
            kld[window, rows] = (np.exp(theirs) * (theirs - found)).sum(axis=1)
            nll[window, rows] = -found[each, following]
            source_nll[window, rows] = -theirs[each, following]
            agrees[window, rows] = found.argmax(axis=1) == theirs.argmax(axis=1)
            row += len(found)
    numbers = {
        "perplexity": np.exp(nll.mean()),
        "reference_perplexity": np.exp(source_nll.mean()),
        "delta_ln_perplexity": (nll - source_nll).mean(),
        "kld_mean": kld.mean(),
        "kld_median": np.median(kld),
        "kld_p99": np.quantile(kld, 0.99),
        "kld_max": kld.max(),
        "top1_agreement": agrees.mean(),
        "kld_mean_error": kld.mean(axis=1).std(ddof=1) / len(kld) ** 0.5,
        **said(model, json.loads((source / "said.json").read_text())),
    }
    output.write_text(json.dumps({name: float(value) for name, value in numbers.items()}))


def said(model: Any, source: dict[str, Any]) -> dict[str, float]:
    """Compare greedy text, answers, tokens and chats."""
    equal, length = 0, 0
    for one in source["continuations"]:
        tokens = list(model.generate(one["ids"], source["count"]))
        pairs = [left == right for left, right in zip(tokens, one["said"], strict=False)]
        equal += pairs.index(False) if False in pairs else len(pairs)
        length += len(one["said"])
    right = 0
    for question in source["questions"]:
        text = model.engine.detokenize(list(model.generate(question["ids"], question["count"])))
        right += text.strip().startswith(question["answer"].strip())
    same = sum(model.engine.tokenize(one["text"]) == one["ids"] for one in source["texts"])
    chats = sum(model.engine.render_chat(one["messages"], one["prompt"]) == one["text"] for one in source["chats"])
    return {
        "generation_agreement": equal / length,
        "answer_recall": right / len(source["questions"]),
        "tokenizer_parity": same / len(source["texts"]),
        "chat_template_parity": chats / len(source["chats"]),
    }


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
