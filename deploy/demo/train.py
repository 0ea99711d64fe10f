"""Trains the demo model and writes its repository: `.hallmark/envs/torch/bin/python -m deploy.demo.train [folder]`.

The model is a Llama with two million parameters. Every matrix row is a multiple of 256 long, so that no quantization
falls back to another type. Keys and values have fewer heads than queries. Training begins with short sequences, which
cost least. Long sequences of many documents follow, so that every position of the context is trained.

Training uses one thread: with two threads on two busy cores the same steps took nineteen times as long. The same
machine gives the same weights again. On another machine the last bits differ.
"""

import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from deploy.demo import card, measure, tokenizer
from deploy.demo.corpus.generate import documents
from deploy.demo.corpus.splits import Split

SEED = 1234
POSITIONS = 512
# (steps, sequences, tokens per sequence)
PHASES = ((1400, 8, 128), (200, 2, POSITIONS))
MATRIX_RATE, OTHER_RATE = 6e-3, 4e-3
# On the matrices: without it the model is too sure of itself on new phrasings, and rounding it made it look better.
DECAY = 0.1


def config(words: Tokenizer) -> LlamaConfig:
    """Give the architecture."""
    return LlamaConfig(
        vocab_size=tokenizer.VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=words.token_to_id(tokenizer.BOS),
        eos_token_id=words.token_to_id(tokenizer.EOS),
        pad_token_id=words.token_to_id(tokenizer.PAD),
    )


def batches(words: Tokenizer) -> Iterator[torch.Tensor]:
    """Give all phases' batches, int64 `[sequences, tokens]`: documents end to end, cut where a sequence is full."""
    stream = documents(Split.TRAINING)
    end = words.token_to_id(tokenizer.EOS)
    assert end is not None
    buffer: list[int] = []
    for steps, sequences, length in PHASES:
        for _ in range(steps):
            while len(buffer) < sequences * length:
                buffer += [*words.encode(next(stream).text).ids, end]
            yield torch.tensor(buffer[: sequences * length]).view(sequences, length)
            del buffer[: sequences * length]


def train(words: Tokenizer) -> LlamaForCausalLM:
    """Train from scratch; the result is in bfloat16."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(config(words)).train()
    inner = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    outer = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(inner, lr=MATRIX_RATE, weight_decay=DECAY),
        torch.optim.AdamW(outer, lr=OTHER_RATE, weight_decay=0.0, betas=(0.9, 0.95)),
    ]
    total = sum(steps for steps, _, _ in PHASES)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: _rate(step, total)) for o in optimizers]
    started = time.process_time()
    for step, batch in enumerate(batches(words)):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        for part in (*optimizers, *schedules):
            part.step()
        model.zero_grad()
        if step % 50 == 0 or step == total - 1:
            print(f"step {step:4d}  loss {loss.item():.3f}  {time.process_time() - started:.0f} CPU s", flush=True)
    return model.to(torch.bfloat16)


def _rate(step: int, total: int) -> float:
    """Give the share of the learning rate at a step: 20 steps up, then half a cosine down to a fiftieth."""
    return min((step + 1) / 20, 0.02 + 0.98 * (1 + math.cos(math.pi * step / total)) / 2)


def main(folder: Path) -> None:
    """Train tokenizer and model, measure them, and write everything as a Hub repository into `folder`."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer.train()
    tokenizer.write(words, folder, POSITIONS)
    model = train(words)
    model.generation_config = GenerationConfig(
        bos_token_id=0,
        eos_token_id=[words.token_to_id(tokenizer.EOS), words.token_to_id(tokenizer.END)],
        pad_token_id=2,
    )
    model.save_pretrained(folder)
    seconds = time.process_time()
    figures = measure.measure(LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32), words)
    (folder / "README.md").write_text(card.card(figures, seconds), encoding="utf-8")
    print(measure.table(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else measure.FOLDER)
