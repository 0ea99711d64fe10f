"""Trains the demo model's tokenizer: byte-level byte-pair encoding on the training text.

Its pre-tokenizer is exactly Qwen2's, which llama.cpp implements. The vocabulary is its own, so llama.cpp's converter
does not know its hash; this is also so for many models that people train themselves. There is no normalizer, because
llama.cpp has none. Digits are single tokens, so that such a small model can learn to add.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from deploy.demo.corpus.generate import take
from deploy.demo.corpus.splits import Split

VOCABULARY = 2048
DOCUMENTS = 8000
BOS, EOS, PAD, START, END = SPECIAL = ("<|startoftext|>", "<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>")
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def _texts() -> Iterator[str]:
    marks = re.compile("|".join(re.escape(mark) for mark in SPECIAL))
    for document in take(Split.TRAINING, DOCUMENTS):
        yield from marks.split(document.text)


def train() -> Tokenizer:
    """Train the tokenizer; the special tokens have the ids 0 to 4."""
    tokenizer = Tokenizer(BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, 0)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def write(tokenizer: Tokenizer, folder: Path, positions: int) -> None:
    """Write the tokenizer's files as they lie in a Hub repository."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "additional_special_tokens": [START, END],
        "clean_up_tokenization_spaces": False,
        "model_max_length": positions,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
