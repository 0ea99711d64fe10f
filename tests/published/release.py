"""Releases a tiny model with a published tokenizer: release.py MODEL PACKAGE FOLDER, a program for the runtime `torch`.

PACKAGE is the unpacked package, FOLDER is new. The program writes FOLDER/found.json: by targets, what became of each
and why. The key `source` stands for the source: its refusal, or how the reference differs from the source's own files.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tasks.errors import HallmarkError
from tasks.evaluation.reference_files import ParityTexts, read_part
from tests.fixtures.tiny_checkpoint import write_checkpoint
from tests.matrix.cases import architectures
from tests.mutations.oracle import differences
from tests.mutations.places import TARGETS
from tests.mutations.source_way import evaluator, released
from tests.published.models import Published, published

OF_TINY = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
"""Files of a tiny checkpoint that the published ones replace."""


def release(model: Published, package: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """Return what became of the model's targets."""
    write_source(model, package, folder / "snapshot")
    with ExitStack() as stack:
        evaluators = {target: stack.enter_context(evaluator(target)) for target in TARGETS}
        try:
            reference, found = released(folder, evaluators)
        except HallmarkError as error:
            return {"source": ("refused", str(error))}
    source = folder / "snapshot"
    other = differences if (source / "tokenizer.json").exists() else other_pieces
    if wrong := "; ".join(other(source, reference)):
        found["source"] = "another reference", wrong
    return found


def other_pieces(snapshot: Path, reference: Path) -> Iterator[str]:
    """Yield how the reference cuts texts in another way than the library sentencepiece.

    Texts with control pieces are left out: the library takes these for plain text.
    """
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(snapshot / "tokenizer.model"))
    marks = [pieces.id_to_piece(number) for number in range(len(pieces)) if pieces.is_control(number)]
    marks.append(pieces.id_to_piece(pieces.unk_id()))
    for case in read_part(reference, "parity.json", ParityTexts).cases:
        ids = pieces.encode(case.text)
        if ids != list(case.token_ids) and not any(mark in case.text for mark in marks):
            yield f"tokens of {case.name!r}: the reference has {case.token_ids[:8]}, sentencepiece {ids[:8]}"
            return


def write_source(model: Published, package: Path, snapshot: Path) -> None:
    """Write the checkpoint: random weights, the published tokenizer, and the fields that belong to it."""
    import transformers

    family = architectures()[model.architecture]
    config = getattr(transformers, family.config)(**{**family.values, **model.config})
    write_checkpoint(snapshot, config, dtype="bfloat16")
    for name in OF_TINY:
        (snapshot / name).unlink(missing_ok=True)
    for path, name in model.files.items():
        shutil.copy(package / path, snapshot / name)
    for name, fields in (("tokenizer_config", model.tokenizer_config), ("generation_config", model.generation)):
        if fields:
            file = snapshot / f"{name}.json"
            known = json.loads(file.read_bytes()) if file.exists() else {}
            file.write_text(json.dumps({**known, **fields}, ensure_ascii=False), encoding="utf-8")


def main() -> None:
    """Release the named model."""
    name, package, folder = sys.argv[1:]
    found = release(published()[name], Path(package), Path(folder))
    Path(folder, "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
