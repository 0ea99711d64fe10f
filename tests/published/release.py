"""Releases a tiny model with a published tokenizer: release.py MODEL PACKAGE FOLDER, a program for the runtime `torch`.

PACKAGE is the unpacked package, FOLDER is new. The program writes FOLDER/found.json: by targets, what became of each
and why. The key `source` stands for the source: its refusal, or how the reference differs from the source's own files.
"""

import json
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from tasks.errors import HallmarkError
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
    if wrong := "; ".join(differences(folder / "snapshot", reference)):
        found["source"] = "another reference", wrong
    return found


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
