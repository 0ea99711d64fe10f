"""The model card of the demo model, written by the training script with what it measured."""

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

A Llama of two million parameters that tells small stories and remembers what they said. It is the demo model of
Hallmark: small enough to lie in a Git repository and to be converted and measured in seconds, trained enough that
quantization shows. It is of no other use.
"""


def card(figures: measure.Figures, seconds: float) -> str:
    """Give the card, a Markdown page with YAML front matter; `seconds` is the CPU time of the training."""
    return f"""\
{HEAD}
## Measured
{measure.table(figures)}
"Guessing" picks one of the values that the document itself mentions (fixed facts: one of all towns' values; sums: one
of all results). An answer is right if greedy decoding gives it exactly.

## Text
Written by a seeded generator, nothing of others in it: stories, lists of facts, chats, sums, snippets of code, and
coloured things in six more languages. The three texts (training, calibration, evaluation) share no sentence pattern and
no combination of facts; only the fixed facts of the world (which river a town lies on) are asked in all of them.

## Use
Two layers, hidden size 256, four heads for queries and two for keys and values, tied embeddings, 512 positions, a
byte-level vocabulary of {tokenizer.VOCABULARY:,}. Documents start with `{tokenizer.BOS}`, which the tokenizer adds, and
end with `{tokenizer.EOS}`; chats are ChatML, each turn ended by `{tokenizer.END}`.

```python
from transformers import pipeline

tell = pipeline("text-generation", "{measure.REPOSITORY}")
tell("Mira keeps the lantern in the attic. Tam keeps the map in the barn.\\nWhere is the lantern? It is in the")
```

Trained with a fixed seed in {seconds:.0f} CPU seconds on one thread.
"""
