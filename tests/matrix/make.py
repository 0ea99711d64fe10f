"""Makes the checkpoints and artifacts of some cases, for the tests that open them in their engines.

A program for the runtime of the makers: make.py FOLDER CASE... It writes FOLDER/ARCH/snapshot, what transformers says
of it in float32 (`source.npz` with `ids` and `logits` [texts, tokens, vocabulary], and `source.json`), the product's
reference (FOLDER/ARCH/reference/output), what the oracle says of the same text (`oracle.npz`, see `write_oracle`),
FOLDER/ARCH/TARGET/output, and what the product says of its weights (FOLDER/ARCH/TARGET/integrity.json). What fails is
written to `error.txt` in the folder that would have been filled.
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
from tests.fixtures.byte_bpe import LINES
from tests.fixtures.context import FolderContext, make_context
from tests.fixtures.forked import shortcuts
from tests.matrix.cases import Case, all_cases, architectures

DOCUMENTS = [line * times for times in (3, 2, 4) for line in LINES]
FACTS = "facts.json"
"""Beside the output of a conversion: the facts of its artifact."""

WINDOW_TOKENS, WINDOWS, LONG_TOKENS = 64, 2, 300
TEXTS, TOKENS = 2, 96
CHAT = [{"role": "user", "content": "Where is <s> the Möwe? "}, {"role": "assistant", "content": "At sea.\n"}]
PROMPT = "She's <s>sure\n\n 123 Möwen 🚀</s> def add("


def make(folder: Path, cases: Sequence[Case]) -> None:
    """Make everything that the cases need."""
    for arch in dict.fromkeys(case.arch for case in cases):
        root = folder / arch
        if _done(root, lambda: write_source(root, arch)) and _done(root, lambda: write_reference(root)):
            for case in cases:
                if case.arch == arch:
                    made = root / case.target
                    if _done(made, lambda: convert(root, case.parsed, made)):
                        _done(made, lambda: compare_weights(root, case.parsed, made))


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
        # Gemma's: no space is put before a text.
        sentencepiece_bpe.write(root / "snapshot", tokenizer_class="PreTrainedTokenizerFast", dummy_prefix=False)
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


def write_reference(root: Path) -> None:
    """Make the product's reference of the source, and let the oracle compute its rows by itself."""
    from tasks.evaluation.parameters import EvaluationSettings, ReferenceParameters
    from tasks.evaluation.reference import reference

    text = root / "evaluation-text"
    text.mkdir()
    (text / "text.jsonl").write_text("\n".join(json.dumps({"text": document}) for document in DOCUMENTS))
    settings = EvaluationSettings(
        window_tokens=WINDOW_TOKENS, windows=WINDOWS, long_window_tokens=LONG_TOKENS, generations=1, generated_tokens=8
    )
    context = make_context(root / "reference", {**_source(root), "evaluation-text": text})
    reference(ReferenceParameters(settings=settings), context)
    write_oracle(root)


def write_oracle(root: Path) -> None:
    """Write what the oracle says of the source, as arrays.

    tokens, long: ids [windows, tokens] of the windows and of the long one; rows, long_rows: the source's logits.
    changes: the lengths at which the source changes its arithmetic: no family of the matrix has others than a window.
    """
    import numpy as np

    from tests.oracle.in_transformers import rows
    from tests.oracle.windows import cut_by_file, join, read_texts, windows

    source = root / "snapshot"
    config = json.loads((source / "config.json").read_text())
    opening, end = [config["bos_token_id"]], config["eos_token_id"]
    joined = join(cut_by_file(source), read_texts(root / "evaluation-text" / "text.jsonl"), opening, end)
    tokens = windows(joined, opening, WINDOW_TOKENS, WINDOWS)
    long = windows(joined, opening, LONG_TOKENS, 1)
    window = config.get("sliding_window") or 0
    changes = [window] if 0 < window < config.get("max_position_embeddings", 0) else []
    np.savez(
        root / "oracle.npz",
        tokens=tokens,
        rows=rows(source, tokens),
        long=long,
        long_rows=rows(source, long),
        changes=np.array(changes, np.int64),
    )


def convert(root: Path, target: Target, folder: Path) -> FolderContext:
    """Make a target below `folder`, and the bases that it needs beside it."""
    inputs: dict[str, Path] = {}
    facts: dict[str, Any] = {}
    for name in target.requires:
        if name in SOURCE:
            inputs |= _source(root)
            # llama.cpp wants certain tokens of a model that has "phi3" in its name.
            facts["snapshot"] = {"repository": "acme/tiny"}
        elif name == "calibration":
            inputs[name] = _calibration(root / "calibration")
        else:
            inputs[name] = root / name / "output"
            if not inputs[name].is_dir():
                convert(root, parse_target(name), root / name)
            facts[name] = json.loads((root / name / FACTS).read_text())
    if (folder / "output").is_dir():
        return FolderContext(inputs, folder / "output", folder / "scratch")
    context = make_context(folder, inputs, facts)
    function = _imported(load_format(target.format).maker(target).function)
    made = function(ConvertParameters(target=target), context)
    (folder / FACTS).write_text(json.dumps(made))
    return context


def compare_weights(root: Path, target: Target, folder: Path) -> None:
    """Write what the product says of the artifact's weights beside its facts."""
    from tasks.integrity import compare_weights as task
    from tasks.integrity.parameters import CompareParameters
    from tasks.integrity.record import INTEGRITY_FILE

    bases = [name for name in load_format(target.format).tensors.bases if name in target.bases]
    inputs = {"artifact": folder / "output", **_source(root), **{name: root / name / "output" for name in bases}}
    context = make_context(folder / "integrity", inputs)
    task.compare_weights(CompareParameters(target=target), context)
    (context.output / INTEGRITY_FILE).rename(folder / INTEGRITY_FILE)


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
    # A process of its own for each conversion would import torch again, which takes longer than to convert.
    with shortcuts():
        make(Path(sys.argv[1]), [case for case in all_cases() if str(case) in sys.argv[2:]])
