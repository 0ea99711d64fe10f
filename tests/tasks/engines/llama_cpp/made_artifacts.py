"""Makes a tiny checkpoint, GGUF artifacts of it, and what transformers says of it in 32-bit floats.

A program for the torch runtime: made_artifacts.py FOLDER. Writes snapshot/, <target>/output/ and reference.npz with
`ids` [texts, tokens], `logits` [texts, tokens, vocabulary], and reference.json with the chat and its text.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tasks.formats.base import ConvertParameters
from tasks.formats.gguf.convert import convert
from tasks.formats.registry import parse_target
from tests.fixtures.context import make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_checkpoint import tiny_llama, write_checkpoint

CHAT = [{"role": "user", "content": "Where is <s> the Möwe?"}, {"role": "assistant", "content": "At sea.\n"}]


def main(folder: Path) -> None:
    """Write everything."""
    config = tiny_llama(hidden_size=256, intermediate_size=512, max_position_embeddings=256, initializer_range=0.05)
    write_checkpoint(folder / "snapshot", config, dtype="bfloat16", pre_tokenizer="qwen2", opens=True)
    template = folder / "snapshot" / "chat_template.jinja"
    template.write_text("{% if documents is not none %}There are documents.{% endif %}" + template.read_text())
    base = make_context(
        folder / "gguf-f16",
        source_inputs(folder / "snapshot", folder / "source"),
        {"snapshot": {"repository": "acme/tiny"}},
    )
    convert(ConvertParameters(target=parse_target("gguf-f16")), base)
    for name in ("gguf-q8_0", "gguf-q4_k_m", "gguf-q2_k"):
        target = parse_target(name, {"imatrix": False})
        convert(ConvertParameters(target=target), make_context(folder / name, {"gguf-f16": base.output}))
    write_reference(folder)


def write_reference(folder: Path) -> None:
    """Write the source's log-probabilities, chat and tokens."""
    model = AutoModelForCausalLM.from_pretrained(folder / "snapshot", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "snapshot")
    ids = np.random.default_rng(0).integers(2, model.config.vocab_size, (4, 200))
    with torch.inference_mode():
        logits = model(torch.tensor(ids)).logits
    np.savez(folder / "reference.npz", ids=ids, logits=logits.numpy())
    chat = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    text = "She's <s>sure\n\n 123 Möwen 🚀</s>"
    cut = tokenizer(text, add_special_tokens=False).input_ids
    (folder / "reference.json").write_text(json.dumps({"messages": CHAT, "chat": chat, "text": text, "text_ids": cut}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with shortcuts():
        main(Path(sys.argv[1]))
