"""Makes the measured model: random weights in Qwen2.5-0.5B's shape, bf16, and a tokenizer of its vocabulary's size.

A program of the runtime `torch`: `python -m bench.model FOLDER`. The same bytes on every run.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench.vocabulary import SEED, enlarge
from tasks.settings import REPOSITORY

HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE, VOCABULARY = 896, 24, 14, 2, 4864, 151_936
TOKENS = 151_665
"""Rows of the embedding beyond these belong to no token, as in the model whose shape this is."""

SPREAD = 0.02
"""Standard deviation of all matrices: that with which such models are initialized."""

DEMO = REPOSITORY / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dtype": "bfloat16",
    "eos_token_id": 1,
    "head_dim": HIDDEN // HEADS,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "initializer_range": SPREAD,
    "intermediate_size": INTERMEDIATE,
    "max_position_embeddings": 32768,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "pad_token_id": 2,
    "rms_norm_eps": 1e-06,
    "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "use_cache": True,
    "vocab_size": VOCABULARY,
}
"""A Llama: the tokenizer of a Qwen2, which differs by a bias, transformers would normalize (NFC), and no engine."""
CARD = "---\nlicense: apache-2.0\n---\nRandom weights in Qwen2.5-0.5B's shape, to measure what a release costs.\n"


def make_model(folder: Path) -> None:
    """Write the repository's files into `folder`, which must not exist; nothing of it stays where that fails."""
    growing = folder.with_name(f".{folder.name}")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    (growing / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (growing / "README.md").write_text(CARD)
    for name in ("LICENSE", "chat_template.jinja", "generation_config.json", "tokenizer_config.json"):
        shutil.copyfile(DEMO / name, growing / name)
    tokenizer = enlarge(json.loads((DEMO / "tokenizer.json").read_text(encoding="utf-8")), TOKENS)
    (growing / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    save_file(random_weights(), growing / "model.safetensors", metadata={"format": "pt"})
    growing.rename(folder)


def random_weights() -> dict[str, torch.Tensor]:
    """Return every tensor by its name in transformers; norms are ones, all else is normal with SPREAD."""
    generator = torch.Generator().manual_seed(SEED)

    def matrix(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=generator) * SPREAD).to(torch.bfloat16)

    kv_width = HIDDEN // HEADS * KV_HEADS
    weights = {"model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        for name, width in (("q", HIDDEN), ("k", kv_width), ("v", kv_width)):
            weights[f"{prefix}.self_attn.{name}_proj.weight"] = matrix(width, HIDDEN)
        weights[f"{prefix}.self_attn.o_proj.weight"] = matrix(HIDDEN, HIDDEN)
        weights[f"{prefix}.mlp.gate_proj.weight"] = matrix(INTERMEDIATE, HIDDEN)
        weights[f"{prefix}.mlp.up_proj.weight"] = matrix(INTERMEDIATE, HIDDEN)
        weights[f"{prefix}.mlp.down_proj.weight"] = matrix(HIDDEN, INTERMEDIATE)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{prefix}.{name}.weight"] = torch.ones(HIDDEN, dtype=torch.bfloat16)
    weights["model.norm.weight"] = torch.ones(HIDDEN, dtype=torch.bfloat16)
    return weights


if __name__ == "__main__":
    make_model(Path(sys.argv[1]))
