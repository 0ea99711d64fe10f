"""Makes a tiny Phi-3 with two sets of rotary factors, its GGUF file, and what transformers says of it in 32-bit floats.

A program for the torch runtime: made_longrope.py FOLDER. Writes snapshot/, gguf-f16/output/ and reference.npz with
`ids` [LONG], and the logits of the first SHORT of them (`short`) and of all (`long`).
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from tasks.formats.base import ConvertParameters
from tasks.formats.gguf.convert import convert
from tasks.formats.registry import parse_target
from tests.fixtures.context import make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.longrope import FACTORS, tiny_longrope
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_checkpoint import write_checkpoint

ORIGINAL, CONTEXT = 256, 1024
SHORT, LONG = 200, 300


def main(folder: Path) -> None:
    """Write everything."""
    snapshot = write_checkpoint(
        folder / "snapshot", tiny_longrope(ORIGINAL, CONTEXT), dtype="bfloat16", pre_tokenizer="gpt-2"
    )
    _as_published(snapshot, FACTORS)
    context = make_context(
        folder / "gguf-f16", source_inputs(snapshot, folder / "source"), {"snapshot": {"repository": "acme/long"}}
    )
    convert(ConvertParameters(target=parse_target("gguf-f16")), context)
    model = AutoModelForCausalLM.from_pretrained(snapshot, dtype=torch.float32).eval()
    ids = np.random.default_rng(0).integers(2, model.config.vocab_size, LONG)
    with torch.inference_mode():
        short, long = (model(torch.tensor(ids[None, :length])).logits[0].numpy() for length in (SHORT, LONG))
    np.savez(folder / "reference.npz", ids=ids, short=short, long=long)


def _as_published(snapshot: Path, factors: dict[str, list[float]]) -> None:
    """Spell the configuration as Phi-4-mini does, from which llama.cpp's converter reads the vocabulary and factors."""
    path = snapshot / "config.json"
    config = json.loads(path.read_text())
    config.pop("rope_parameters", None)
    config |= {"rope_scaling": {"type": "longrope", **factors}, "rope_theta": 10000.0, "partial_rotary_factor": 1.0}
    path.write_text(json.dumps(config))
    path = snapshot / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": "GPT2Tokenizer"}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with shortcuts():
        main(Path(sys.argv[1]))
