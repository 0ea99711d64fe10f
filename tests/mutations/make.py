"""Makes a source, the reference of it, and its artifacts: make.py FOLDER SOURCE, a program for the runtime `torch`.

FOLDER/SOURCE/snapshot, FOLDER/SOURCE/reference/output, FOLDER/SOURCE/TARGET/output
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from tasks.evaluation.parameters import EvaluationSettings, ReferenceParameters
from tasks.formats.base import SOURCE, ConvertParameters
from tasks.formats.registry import load_format, parse_target
from tasks.settings import REPOSITORY
from tests.fixtures.context import make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.source import source_inputs
from tests.mutations.places import TEXTS
from tests.mutations.sources import SOURCES

FOLDER = REPOSITORY / "dags" / "recipes" / "texts"
TEXT, CALIBRATION = FOLDER / "demo-evaluation.jsonl", FOLDER / "demo-calibration.jsonl"
FACTS = "facts.json"
RECORDS = 10
SETTINGS = EvaluationSettings(window_tokens=128, windows=4, long_window_tokens=320, generations=4, generated_tokens=16)


def make(folder: Path, source: str, targets: Sequence[str]) -> None:
    """Make everything of a source below `folder`."""
    root = folder / source
    if not root.exists():
        SOURCES[source](root / "snapshot")
    write_texts(root)
    inputs = source_inputs(root / "snapshot", root / "analysis")
    make_reference(root, inputs)
    # A quantized target is made from another one.
    for target in dict.fromkeys(one for name in targets for one in (*parse_target(name).bases, name)):
        make_artifact(root, inputs, target)


def write_texts(root: Path) -> None:
    """Write texts.json, a list of texts, without the parity texts of the product.

    They are the lines of the calibration text, and the texts of any two neighbours of the vocabulary.
    """
    from tests.mutations.oracle import load_tokenizer

    tokenizer = load_tokenizer(root / "snapshot")
    pairs = [tokenizer.decode([token, token + 1]) for token in range(tokenizer.get_vocab_size() - 1)]
    lines = [json.loads(line)["text"] for line in CALIBRATION.read_text().splitlines()]
    sound = [text for text in (*lines, *pairs) if "\N{REPLACEMENT CHARACTER}" not in text and "\0" not in text]
    (root / TEXTS).write_text(json.dumps(sound))


def make_reference(root: Path, inputs: dict[str, Path]) -> Path:
    """Run the task `reference` on some of the standard recipe's text."""
    from tasks.evaluation.reference import reference

    text = root / "text"
    text.mkdir()
    (text / "text.jsonl").write_text("\n".join(TEXT.read_text().splitlines()[:RECORDS]))
    context = make_context(root / "reference", {**inputs, "evaluation-text": text})
    reference(ReferenceParameters(settings=SETTINGS), context)
    return context.output


def make_artifact(root: Path, inputs: dict[str, Path], name: str) -> Path:
    """Run the task `convert` of a target, after those of bases that are missing. Keeps its facts beside its output."""
    target = parse_target(name)
    for base in (base for base in target.bases if not (root / base / FACTS).is_file()):
        make_artifact(root, inputs, base)
    read = {one: inputs[one] if one in SOURCE else root / one / "output" for one in target.requires}
    facts = {base: json.loads((root / base / FACTS).read_bytes()) for base in target.bases}
    context = make_context(root / name, read, {"snapshot": {"repository": "acme/tiny"}, **facts})
    convert: Any = resolve_name(load_format(target.format).maker(target).function)
    made = convert(ConvertParameters(target=target), context)
    (root / name / FACTS).write_text(json.dumps(made))
    return context.output


if __name__ == "__main__":
    with shortcuts():
        make(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
