"""Measures what the demo model has learned: `python -m deploy.demo.measure [folder]`.

It compares the perplexity with a unigram model's, the answers with guessing, and the weights with rounded copies. These
numbers show that the checkpoint can tell quantizations apart.
"""

import copy
import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM, PreTrainedModel

from deploy.demo.corpus.__main__ import DOCUMENTS
from deploy.demo.corpus.document import Document
from deploy.demo.corpus.generate import take
from deploy.demo.corpus.splits import Split

REPOSITORY = "hallmark/tiny-tales"
FOLDER = Path(__file__).parent / "hub" / REPOSITORY
BITS = (8, 6, 5, 4, 3, 2)
GROUP = 32


@dataclass(frozen=True)
class Recall:
    """Answers of one kind: how many were asked, how many were right, and how many guessing would get on average."""

    asked: int
    right: int
    guessed: float


@dataclass(frozen=True)
class Rung:
    """One simulated bit width: mean KLD in nats, share of equal top-1 tokens, perplexity, share of right answers."""

    bits: int
    kld: float
    top1: float
    perplexity: float
    recall: float


@dataclass(frozen=True)
class Figures:
    """Everything measured on the evaluation text of `tokens` tokens."""

    tokens: int
    unigram: float
    perplexity: float
    recall: dict[str, Recall]
    ladder: tuple[Rung, ...]


def logprobs(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    """Give float32 log-probabilities `[len(ids) - 1, vocabulary]` of each next token."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
    return torch.log_softmax(logits.float(), -1)


def unigram_perplexity(train: Iterable[list[int]], test: Iterable[list[int]], vocabulary: int) -> float:
    """Give the perplexity of token frequencies in `train` (one added to each) on `test`, first tokens not counted."""
    counts = torch.ones(vocabulary)
    for ids in train:
        counts += torch.bincount(torch.tensor(ids[1:]), minlength=vocabulary)
    logs = torch.log(counts / counts.sum())
    losses = torch.cat([-logs[torch.tensor(ids[1:])] for ids in test])
    return math.exp(losses.mean().item())


def rounded(model: LlamaForCausalLM, bits: int) -> LlamaForCausalLM:
    """Give a copy with matrices rounded to 2^bits levels between the least and the largest of 32 weights of a row."""
    other = copy.deepcopy(model)
    levels = 2**bits - 1
    with torch.no_grad():
        for weight in {id(p): p for p in other.parameters() if p.dim() == 2}.values():
            groups = weight.view(-1, GROUP)
            low = groups.min(1, keepdim=True).values
            step = ((groups.max(1, keepdim=True).values - low) / levels).clamp_min(1e-12)
            groups.copy_(((groups - low) / step).round() * step + low)
    return other


def _right(tokenizer: Tokenizer, document: Document, logs: torch.Tensor) -> bool:
    """Say whether greedy decoding after the prompt gives the answer: every token that covers it is the likeliest."""
    ids = tokenizer.encode(document.text).ids
    start = len(tokenizer.encode(document.prompt).ids)
    stop = start + 1
    while len(tokenizer.decode(ids[start:stop], skip_special_tokens=False)) < len(document.answer):
        stop += 1
    greedy: list[int] = logs[start - 1 : stop - 1].argmax(-1).tolist()
    return greedy == ids[start:stop]


def measure(model: LlamaForCausalLM, tokenizer: Tokenizer, bits: Iterable[int] = BITS) -> Figures:
    """Measure everything; the model is taken in float32, each document by itself."""
    model = model.float().eval()
    documents = take(Split.EVALUATION, DOCUMENTS[Split.EVALUATION])
    ids = [tokenizer.encode(document.text).ids for document in documents]
    train = [tokenizer.encode(document.text).ids for document in take(Split.TRAINING, 2000)]
    source = [logprobs(model, row) for row in ids]
    asked = [number for number, document in enumerate(documents) if document.answer]
    right = {number: _right(tokenizer, documents[number], source[number]) for number in asked}
    kinds: dict[str, list[int]] = defaultdict(list)
    for number in asked:
        kinds[documents[number].kind].append(number)
    recall = {
        kind: Recall(len(rows), sum(right[n] for n in rows), sum(1 / len(documents[n].choices) for n in rows))
        for kind, rows in sorted(kinds.items())
    }
    ladder = []
    for width in bits:
        other = rounded(model, width)
        logs = [logprobs(other, row) for row in ids]
        kld = torch.cat([(p.exp() * (p - q)).sum(-1) for p, q in zip(source, logs, strict=True)])
        same = torch.cat([p.argmax(-1) == q.argmax(-1) for p, q in zip(source, logs, strict=True)])
        hits = sum(_right(tokenizer, documents[n], logs[n]) for n in asked)
        ladder.append(
            Rung(width, kld.mean().item(), same.float().mean().item(), _perplexity(logs, ids), hits / len(asked))
        )
    unigram = unigram_perplexity(train, ids, tokenizer.get_vocab_size())
    return Figures(sum(map(len, ids)), unigram, _perplexity(source, ids), recall, tuple(ladder))


def _perplexity(logs: list[torch.Tensor], ids: list[list[int]]) -> float:
    losses = [-p.gather(1, torch.tensor(row[1:])[:, None]) for p, row in zip(logs, ids, strict=True)]
    return math.exp(torch.cat(losses).mean().item())


def table(figures: Figures) -> str:
    """Give the figures as Markdown."""
    total = figures.recall.values()
    rows = [
        f"Evaluation text: {figures.tokens:,} tokens. Perplexity: unigram {figures.unigram:.1f}, "
        f"this model {figures.perplexity:.2f} ({figures.unigram / figures.perplexity:.0f} times better).",
        "",
        "| answers | asked | right | guessing |",
        "|---|---|---|---|",
    ]
    for kind, found in [*figures.recall.items(), ("all", _sum(total))]:
        rows.append(f"| {kind} | {found.asked} | {found.right / found.asked:.0%} | {found.guessed / found.asked:.0%} |")
    rows += [
        "",
        f"Matrices rounded to nearest in groups of {GROUP} (a simulation, not a file format):",
        "",
        "| bits | mean KLD | top-1 | perplexity | answers |",
        "|---|---|---|---|---|",
    ]
    for rung in figures.ladder:
        rows.append(f"| {rung.bits} | {rung.kld:.5f} | {rung.top1:.3f} | {rung.perplexity:.3f} | {rung.recall:.0%} |")
    return "\n".join(rows) + "\n"


def _sum(parts: Iterable[Recall]) -> Recall:
    parts = list(parts)
    return Recall(sum(p.asked for p in parts), sum(p.right for p in parts), sum(p.guessed for p in parts))


def main(folder: Path) -> None:
    """Measure the checkpoint in `folder` and print the tables."""
    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    print(table(measure(model, Tokenizer.from_file(str(folder / "tokenizer.json")))))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
