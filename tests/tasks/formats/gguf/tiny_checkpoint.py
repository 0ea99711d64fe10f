"""Writes a random tiny Llama with a byte-level BPE tokenizer of its own, as a Hub repository would hold it.

A program for the torch runtime: tiny_checkpoint.py FOLDER '{"hidden": 256, "pre_tokenizer": "gpt-2"}'
"""

import json
import sys
from pathlib import Path

import torch
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.tasks.formats.gguf.byte_bpe import train

LICENCE = "Anyone may do anything with these random numbers.\n"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def make(
    folder: Path, hidden: int = 256, intermediate: int = 512, pre_tokenizer: str = "gpt-2", scale: float = 1.0
) -> None:
    """Write config.json, model.safetensors (bf16), tokenizer files and a licence into `folder`.

    scale: a factor on one matrix, to push it out of float16's range.
    """
    folder.mkdir(parents=True)
    tokenizer = train(pre_tokenizer, 512)
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.05,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight *= scale
    model.save_pretrained(folder)
    (folder / "LICENSE").write_text(LICENCE)
    (folder / "README.md").write_text("---\nlicense: unlicense\n---\nA card that must not change the artifact.\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]), **json.loads(sys.argv[2]))
