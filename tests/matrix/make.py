"""Makes the checkpoints and artifacts of some cases, for the tests that open them in their engines.

A program for the runtime of the makers: make.py FOLDER CASE... It writes FOLDER/ARCH/snapshot, what transformers says
of it in float32 (`source.npz` with `ids` and `logits` [texts, tokens, vocabulary], and `source.json`), and
FOLDER/ARCH/TARGET/output. What fails is written to `error.txt` in the folder that would have been filled.
"""

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.formats.base import SOURCE, ConvertParameters, Target
from tasks.formats.registry import load_format, parse_target
from tests.fixtures.context import FolderContext, make_context
from tests.matrix.cases import Case, all_cases, architectures

TEXTS, TOKENS = 2, 96
CHAT = [{"role": "user", "content": "Where is <s> the Möwe? "}, {"role": "assistant", "content": "At sea.\n"}]
PROMPT = "She's <s>sure\n\n 123 Möwen 🚀</s> def add("


def make(folder: Path, cases: Sequence[Case]) -> None:
    """Make everything that the cases need."""
    for arch in dict.fromkeys(case.arch for case in cases):
        root = folder / arch
        if _done(root, lambda: write_source(root, arch)):
            for case in cases:
                if case.arch == arch:
                    _done(root / case.target, lambda: convert(root, case.parsed, root / case.target))


def write_source(root: Path, arch: str) -> None:
    """Write the checkpoint of an architecture, and what transformers says of it."""
    import numpy as np
    import torch
    import transformers

    from tests.fixtures import sentencepiece_bpe
    from tests.fixtures.tiny_architectures import tiny
    from tests.fixtures.tiny_checkpoint import CHAT_TEMPLATE, write_checkpoint

    torch.set_num_threads(1)
    family = architectures()[arch]
    named = family.pre_tokenizer
    write_checkpoint(root / "snapshot", tiny(arch), dtype="bfloat16", pre_tokenizer=named, opens=True)
    if family.tokenizer == "sentencepiece":
        sentencepiece_bpe.write(root / "snapshot")
        (root / "snapshot" / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    model = transformers.AutoModelForCausalLM.from_pretrained(root / "snapshot", dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(root / "snapshot")
    ids = np.random.default_rng(0).integers(2, model.config.vocab_size, (TEXTS, TOKENS))
    with torch.inference_mode():
        logits = model(torch.tensor(ids)).logits
    np.savez(root / "source.npz", ids=ids, logits=logits.float().numpy())
    said = {
        "messages": CHAT,
        "chats": [
            tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=prompt)
            for prompt in (False, True)
        ],
        "prompt": PROMPT,
        "prompt_ids": tokenizer(PROMPT, add_special_tokens=False)["input_ids"],
    }
    (root / "source.json").write_text(json.dumps(said))


def convert(root: Path, target: Target, folder: Path) -> FolderContext:
    """Make a target below `folder`, and the bases that it needs beside it."""
    inputs: dict[str, Path] = {}
    facts: dict[str, Any] = {}
    for name in target.requires:
        if name in SOURCE:
            inputs |= _source(root)
            facts["snapshot"] = {"repository": f"acme/{root.name}"}
        elif name == "calibration":
            inputs[name] = _calibration(root / "calibration")
        else:
            inputs[name] = root / name / "output"
            if not inputs[name].is_dir():
                convert(root, parse_target(name), root / name)
    if (folder / "output").is_dir():
        return FolderContext(inputs, folder / "output", folder / "scratch")
    context = make_context(folder, inputs, facts)
    function = _imported(load_format(target.format).maker(target).function)
    function(ConvertParameters(target=target), context)
    return context


def _source(root: Path) -> dict[str, Path]:
    from tests.fixtures.source import source_inputs

    analysis = root / "analysis" / "output"
    if analysis.is_dir():
        return {"snapshot": root / "snapshot", "analysis": analysis}
    return source_inputs(root / "snapshot", root / "analysis")


def _calibration(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"text": f"The {n}th ship sails <s> " * 20}) for n in range(40)]
    (folder / "text.jsonl").write_text("\n".join(lines))
    return folder


def _done(folder: Path, work: Callable[[], object]) -> bool:
    try:
        work()
    except Exception:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "error.txt").write_text(traceback.format_exc())
        return False
    return True


def _imported(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


if __name__ == "__main__":
    make(Path(sys.argv[1]), [case for case in all_cases() if str(case) in sys.argv[2:]])
