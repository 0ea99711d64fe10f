"""The sources that are mutated: tiny models whose every field tells, with random weights. Made in the runtime `torch`.

granite   byte-level BPE; rotary scaling, biases, four multipliers, an output head of its own, two ends
llama     a tokenizer of the kind of Llama 2; rotary factors for each dimension, a tied head
gemma     a tokenizer of the kind of Gemma; a sliding window, soft caps
stablelm  a rotary embedding of a part of each head, named at the top of config.json; norms with biases
neox      the same, named within `rope_parameters`; parallel blocks, biases
mistral   tokenizer.model and added_tokens.json in place of tokenizer.json; yarn
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.fixtures import sentencepiece_bpe
from tests.fixtures.older_spelling import older
from tests.fixtures.prefix_space import CHAT_TEMPLATE, write_prefix_space_tokenizer
from tests.fixtures.tiny_checkpoint import SIZES, write_checkpoint
from tests.mutations.json_fields import nodes, spell
from tests.mutations.mutant import Mutant, replace

TEMPLATE = "chat_template.jinja"

ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}


YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128}


def write_granite(folder: Path) -> None:
    """Write the source `granite`."""
    from transformers import GraniteConfig

    config = GraniteConfig(
        **SIZES,
        tie_word_embeddings=False,
        attention_bias=True,
        mlp_bias=True,
        rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0},
        embedding_multiplier=3.0,
        residual_multiplier=0.5,
        attention_multiplier=0.5,
        logits_scaling=0.5,
        initializer_range=0.1,
    )
    write_checkpoint(folder, config, dtype="bfloat16", pre_tokenizer="qwen2", opens=True)
    _vary_vectors(folder)
    _write_ends(folder, [1, 2])


def write_llama(folder: Path) -> None:
    """Write the source `llama`."""
    from transformers import LlamaConfig

    config = LlamaConfig(**SIZES, tie_word_embeddings=True, initializer_range=0.1, rope_parameters=ROPE)
    write_checkpoint(folder, config, dtype="bfloat16")
    write_prefix_space_tokenizer(folder)
    _vary_vectors(folder)
    _write_ends(folder, 1)


def write_gemma(folder: Path) -> None:
    """Write the source `gemma`."""
    from transformers import Gemma2Config

    sizes = {**SIZES, "head_dim": 16, "query_pre_attn_scalar": 16}
    config = Gemma2Config(
        **sizes,
        sliding_window=96,
        pad_token_id=1,
        initializer_range=0.1,
        attn_logit_softcapping=4.0,
        final_logit_softcapping=1.5,
    )
    # Scores of attention as large as their cap.
    factors = {f"model.layers.{layer}.self_attn.q_proj.weight": 6.0 for layer in range(config.num_hidden_layers)}
    write_checkpoint(folder, config, dtype="bfloat16", factors=factors)
    write_prefix_space_tokenizer(folder)
    _without_prefix(folder / "tokenizer.json")
    _vary_vectors(folder)
    _write_ends(folder, 1)


def write_stablelm(folder: Path) -> None:
    """Write the source `stablelm`, spelled as before transformers 5."""
    from transformers import StableLmConfig

    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    config = StableLmConfig(**SIZES, use_qkv_bias=True, initializer_range=0.15, rope_parameters=rope)
    write_checkpoint(folder, config, dtype="bfloat16")
    path = folder / "config.json"
    path.write_text(json.dumps(older(json.loads(path.read_text()))))
    _vary_vectors(folder)
    _write_ends(folder, 1)


def write_neox(folder: Path) -> None:
    """Write the source `neox`."""
    from transformers import GPTNeoXConfig

    sizes = {name: size for name, size in SIZES.items() if name != "num_key_value_heads"}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    write_checkpoint(folder, GPTNeoXConfig(**sizes, initializer_range=0.1, rope_parameters=rope), dtype="bfloat16")
    _vary_vectors(folder)
    _write_ends(folder, 1)


def write_mistral(folder: Path) -> None:
    """Write the source `mistral`."""
    from transformers import MistralConfig

    config = MistralConfig(**SIZES, sliding_window=None, initializer_range=0.1, rope_parameters=YARN)
    write_checkpoint(folder, config, dtype="bfloat16")
    sentencepiece_bpe.write(folder, json_file=False)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": "<pad>"}))
    (folder / "added_tokens.json").write_text(json.dumps({"<pad>": 320}))
    (folder / TEMPLATE).write_text(CHAT_TEMPLATE)
    _vary_vectors(folder)


SOURCES: Mapping[str, Callable[[Path], None]] = {
    "granite": write_granite,
    "llama": write_llama,
    "gemma": write_gemma,
    "stablelm": write_stablelm,
    "neox": write_neox,
    "mistral": write_mistral,
}


def _vary_vectors(folder: Path) -> None:
    """Give norms and biases numbers of their own: a new model has ones and zeros, whose order tells nothing."""
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    generator = torch.Generator().manual_seed(5)
    for name, tensor in tensors.items():
        if tensor.dim() == 1:
            tensors[name] = (tensor + 0.3 * torch.randn(tensor.shape, generator=generator)).to(tensor.dtype)
    save_file(tensors, path, {"format": "pt"})


def _write_ends(folder: Path, ends: Any) -> None:
    path = folder / "generation_config.json"
    path.write_text(json.dumps({"bos_token_id": 0, "eos_token_id": ends}))


def _without_prefix(path: Path) -> None:
    """Take the steps out that put a space before a text and drop it again, as Gemma's tokenizer has none."""
    content = json.loads(path.read_text())
    content["normalizer"] = content["normalizer"]["normalizers"][-1]
    content["decoder"]["decoders"].pop()
    path.write_text(json.dumps(content, ensure_ascii=False))


def placed_elsewhere(folder: Path) -> Iterator[Mutant]:
    """Yield mutants of a source whose template stands in another file, or in two."""
    template = (folder / TEMPLATE).read_text()
    named = [{"name": "default", "template": template}, {"name": "tool_use", "template": "none"}]

    def mutant(change: str, edit: Callable[[Path], None]) -> Mutant:
        return Mutant(TEMPLATE, "the text", change, "template places", edit)

    def into(file: str, value: Any, remove: bool) -> Callable[[Path], None]:
        def edit(folder: Path) -> None:
            path = folder / file
            content = json.loads(path.read_bytes()) if path.exists() else {}
            path.unlink(missing_ok=True)
            path.write_text(json.dumps({**content, "chat_template": value}))
            if remove:
                (folder / TEMPLATE).unlink()

        return edit

    yield mutant("moved to tokenizer_config.json", into("tokenizer_config.json", template, True))
    yield mutant("moved to tokenizer_config.json, as a list", into("tokenizer_config.json", named, True))
    yield mutant("moved to chat_template.json", into("chat_template.json", template, True))
    yield mutant("beside another one in tokenizer_config.json", into("tokenizer_config.json", f"{template}x", False))


def fields_of_others(folder: Path, others: Iterable[Path]) -> Iterator[Mutant]:
    """Yield mutants of a source whose config.json has a field that another source's has, with the other's value."""
    own = json.loads((folder / "config.json").read_bytes())
    seen = dict(nodes(own))
    for other in others:
        for place, value in nodes(json.loads((other / "config.json").read_bytes())):
            if place not in seen and not isinstance(value, dict) and all(isinstance(key, str) for key in place):
                seen[place] = value
                yield _added(place, value)


def _added(place: tuple[Any, ...], value: Any) -> Mutant:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        content = json.loads(path.read_bytes())
        inner = content
        for key in place[:-1]:
            inner = inner.setdefault(key, {})
        inner[place[-1]] = value
        replace(path, json.dumps(content).encode())

    return Mutant("config.json", spell(place), "added", "added fields", edit)
