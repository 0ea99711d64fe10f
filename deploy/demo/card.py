"""Writes the model card of the demo model, with the numbers that the training script measured."""

from deploy.demo import measure, tokenizer

HEAD = """\
---
license: apache-2.0
language: [en, fr, pl, el, ru, ja, zh]
library_name: transformers
pipeline_tag: text-generation
tags: [llama, demo]
---
# Tiny Tales

A Llama of two million parameters that tells small stories and knows who lives where in them. It is the demo model of
Hallmark: small enough to lie in a Git repository and to be converted and measured in seconds, trained enough that
quantization shows. It has no other use.
"""


def card(figures: measure.Figures, seconds: float) -> str:
    """Return the card, a Markdown page with YAML front matter; `seconds` is the CPU time of the training."""
    return f"""\
{HEAD}
## Measured
{measure.table(figures)}
An answer is right if greedy decoding gives it exactly. "Guessing" picks one of the values that the document mentions.
If the document mentions none (knowledge, arithmetic), it picks one of all possible values. Most documents state a fact
before they ask for it. The facts are the same in every document, so the model knows them by heart. It does not look up
a fact that a text has just made up.

The mean KLD shows which of two bit widths is worse. Perplexity on phrasings that the model has never seen can move
either way. The number of steps and the weight decay were chosen with figures like these in view.

## Text
A seeded generator wrote the text; it contains nothing by other authors. It has stories, lists of facts, chats, sums,
snippets of code, and coloured things in six more languages. The three texts (training, calibration, evaluation) share
no phrasing. No two facts follow each other, and no two numbers are added or subtracted, in more than one of them. The
facts themselves are the same in all three.

## Use
Two layers, hidden size 256, four heads for queries and two for keys and values, tied embeddings, 512 positions, a
byte-level vocabulary of {tokenizer.VOCABULARY:,}. Documents start with `{tokenizer.BOS}`, which the tokenizer adds, and
end with `{tokenizer.EOS}`; chats are ChatML, each turn ended by `{tokenizer.END}`.

```python
from transformers import pipeline

generate = pipeline("text-generation", "{measure.REPOSITORY}")
generate("Where is the lantern? It is in the")
```

Trained with a fixed seed in {seconds:.0f} CPU seconds on one thread.
"""
