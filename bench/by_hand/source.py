"""python -m bench.by_hand.source SOURCE TEXT SETTINGS FOLDER: what the source says on the evaluation text.

All log-probabilities are kept, as float32: the plainest way, and the one in which they are computed once.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tasks.checkpoint.parity_texts import WRITTEN, generated_texts
from tasks.evaluation.source_parity import CHATS


def main(source: Path, text: Path, settings: dict[str, int], folder: Path) -> None:
    """Write tokens.npy, logprobs.npy and said.json."""
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    records = [json.loads(line) for line in text.read_text(encoding="utf-8").splitlines()]
    stream: list[int] = []
    for record in records:
        stream += [*tokenizer.encode(record["text"]), tokenizer.eos_token_id]
    width, windows = settings["window_tokens"], settings["windows"]
    tokens = np.array(stream[: width * windows], np.int64).reshape(windows, width)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", tokens)
    shape = (windows, width - 1, model.config.vocab_size)
    kept = np.lib.format.open_memmap(folder / "logprobs.npy", mode="w+", dtype=np.float32, shape=shape)
    with torch.inference_mode():
        for window, ids in enumerate(tokens):
            kept[window] = torch.log_softmax(model(torch.from_numpy(ids)[None]).logits[0, :-1], dim=-1).numpy()
    kept.flush()

    def generate(ids: list[int], count: int) -> list[int]:
        with torch.inference_mode():
            said = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)
        return [int(token) for token in said[0, len(ids) :]]

    asking = [record for record in records if "prompt" in record]
    half = settings["generations"] // 2
    prompts = [tokenizer.encode(record["prompt"]) for record in asking[:half]]
    prompts += [tokenizer.encode(record["text"])[:32] for record in records[:half]]
    questions = []
    for record in asking:
        ids, count = tokenizer.encode(record["prompt"]), len(tokenizer.encode(record["answer"])) + 2
        questions.append({"ids": ids, "count": count, "said": generate(ids, count), "answer": record["answer"]})
    texts = [*WRITTEN.values(), *generated_texts().values()]
    chats = [
        {
            "messages": messages,
            "prompt": prompt,
            "text": tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt),
        }
        for messages, prompt in CHATS.values()
    ]
    said = {
        "count": settings["generated_tokens"],
        "continuations": [{"ids": ids, "said": generate(ids, settings["generated_tokens"])} for ids in prompts],
        "questions": questions,
        "texts": [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False)} for text in texts],
        "chats": chats,
    }
    (folder / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), Path(sys.argv[4]))
