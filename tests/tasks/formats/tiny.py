"""A tiny Llama checkpoint with a byte-level tokenizer and a chat template, for tests that need a whole model folder."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>\n{{ message.content | trim }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% generation %}{% endgeneration %}{% endif %}"
)
TEXT = ["Mira keeps nine blue kites in the old mill.", "def add(a, b):\n    return a + b", "Привет, мир! 你好 🙂"]
VOCABULARY = 384


def tiny_llama(**changes: Any) -> LlamaConfig:
    """Return the configuration: two layers, grouped-query attention, tied embeddings, a rotary base of a million."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "bos_token_id": 0,
        "eos_token_id": 1,
        # Large enough that rotary positions and attention move the logits visibly.
        "initializer_range": 0.2,
    }
    return LlamaConfig(**{**settings, **changes})


def write_checkpoint(folder: Path, config: PreTrainedConfig | None = None, dtype: torch.dtype = torch.float32) -> Path:
    """Write a whole model folder with seeded random weights; return it."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(config or tiny_llama(), dtype=dtype)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    (folder / "LICENSE").write_text("Permission is granted.\n")
    return folder


def write_tokenizer(folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True) for text in ("<s>", "</s>")]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    end = {"__type": "AddedToken", "content": "</s>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
