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
quantization shows. It is of no other use.
"""


def card(figures: measure.Figures, seconds: float) -> str:
    """Give the card, a Markdown page with YAML front matter; `seconds` is the CPU time of the training."""
    return f"""\
{HEAD}
## Measured
{measure.table(figures)}
An answer is right if greedy decoding gives it exactly. "Guessing" picks one of the values that the document mentions,
or, where it mentions none (knowledge, arithmetic), one of all that there are. Most facts are told before they are
asked, yet they are fixed: the model knows them by heart, and does not look up what a text has just made up.

Of two bit widths the mean KLD tells which is worse; perplexity on phrasings never seen moves either way. The number of
steps and the weight decay were chosen with figures like these in view.

## Text
Written by a seeded generator, nothing of others in it: stories, lists of facts, chats, sums, snippets of code, and
coloured things in six more languages. The three texts (training, calibration, evaluation) share no phrasing; no two
facts follow each other, and no two numbers are added or subtracted, in more than one of them. The facts themselves are
the same in all.

## Use
Two layers, hidden size 256, four heads for queries and two for keys and values, tied embeddings, 512 positions, a
byte-level vocabulary of {tokenizer.VOCABULARY:,}. Documents start with `{tokenizer.BOS}`, which the tokenizer adds, and
end with `{tokenizer.EOS}`; chats are ChatML, each turn ended by `{tokenizer.END}`.

```python
from transformers import pipeline

tell = pipeline("text-generation", "{measure.REPOSITORY}")
tell("Where is the lantern? It is in the")
```

Trained with a fixed seed in {seconds:.0f} CPU seconds on one thread.
"""
