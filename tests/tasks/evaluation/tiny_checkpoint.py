"""A random Llama of some 100,000 parameters with a real byte-level BPE tokenizer, for tests in the torch runtime."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LINES = [
    "The cat sleeps on the stove, and the dog guards the door of the old house.",
    "Anna keeps 12 red apples in a basket; Tom has 7, so together they have 19.",
    "def add(first, second):\n    return first + second\n",
    "Wieczorem pada deszcz. Dziś jest zimno, jutro będzie cieplej.",
]
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def make_tokenizer(begins: bool = False) -> PreTrainedTokenizerFast:
    """Return a tokenizer of 400 tokens with a chat template; one that `begins` puts <|start|> before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|start|>", "<|end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|start|> $A", special_tokens=[("<|start|>", 0)]
        )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|end|>")
    wrapped.chat_template = TEMPLATE
    return wrapped


def make_checkpoint(folder: Path, begins: bool = False, tied: bool = True) -> Path:
    """Save a random bf16 Llama whose next-token distributions are neither flat nor certain."""
    torch.manual_seed(7)
    tokenizer = make_tokenizer(begins)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.1,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_text(folder: Path) -> Path:
    """Write an evaluation text: stories, and questions whose answers a random model does not know."""
    folder.mkdir(parents=True)
    records = [{"id": f"story-{place}", "kind": "story", "text": " ".join(LINES) * 3} for place in range(4)]
    records += [
        {"id": f"ask-{place}", "kind": "fact", "text": f"{place} and 1 make {place + 1}.",
         "prompt": f"{place} and 1 make", "answer": f" {place + 1}<|end|>\n"}
        for place in range(5)
    ]  # fmt: skip
    (folder / "text.jsonl").write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return folder
