"""Mutants of an artifact, generated from its files, and what becomes of each."""

import random
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name

from tasks.checkpoint.companions import COMPANIONS, NOTICES, TEMPLATE, is_companion
from tasks.formats.registry import parse_target
from tests.mutations.json_fields import json_mutants
from tests.mutations.judging import judge, measured, prepare
from tests.mutations.mutant import Mutant, copy_linked
from tests.mutations.places import QUANTIZED
from tests.mutations.row import Row
from tests.mutations.sentencepiece_file import sentencepiece_mutants
from tests.mutations.text_files import text_mutants

WEIGHTS = {
    "gguf": "tests.mutations.gguf_file:gguf_mutants",
    "onnx": "tests.mutations.onnx_graph:onnx_mutants",
    "safetensors": "tests.mutations.safetensors_file:safetensors_mutants",
}
"""What makes the mutants of a format's own file, as "module:function": each needs libraries of its runtime."""

SEED = 20261129


NUMEROUS = ("tensors", "initializers", "attributes")
"""Kinds of fields of which an artifact has one for each layer."""

FEW = 8


def artifact_mutants(target: str, folder: Path) -> list[Mutant]:
    """Return all mutants of the artifact in `folder`; of a quantized one, those that its base does not have alike."""
    own: list[Mutant] = list(resolve_name(WEIGHTS[parse_target(target).format])(folder))
    return _fewer(own) if target in QUANTIZED else [*own, *companion_mutants(folder)]


def _fewer(mutants: Sequence[Mutant]) -> list[Mutant]:
    """Return the mutants with those of about FEW fields of each numerous kind, from the whole of the file."""
    kept = set[str]()
    for kind in NUMEROUS:
        fields = list(dict.fromkeys(one.field for one in mutants if one.kind == kind))
        kept.update(fields[:: max(1, len(fields) // FEW)])
    return [one for one in mutants if one.kind not in NUMEROUS or one.field in kept]


def companion_mutants(folder: Path) -> Iterator[Mutant]:
    """Yield the mutants of the files beside the weights: configurations, tokenizer, template, notices."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".json" and is_companion(path.name, COMPANIONS):
            yield from json_mutants(folder, path.name)
        elif is_companion(path.name, (*TEMPLATE, *NOTICES)):
            yield from text_mutants(path.name)
    yield from sentencepiece_mutants(folder)


def sample(mutants: Iterable[Mutant], of_each_kind: int) -> list[Mutant]:
    """Return so many mutants of each kind of field and each change, drawn by SEED."""
    kinds = defaultdict[tuple[str, str], list[Mutant]](list)
    for mutant in mutants:
        kinds[mutant.kind, mutant.change].append(mutant)
    source = random.Random(SEED)
    return [one for kind in kinds.values() for one in _drawn(kind, of_each_kind, source)]


def _drawn(mutants: Sequence[Mutant], count: int, source: random.Random) -> list[Mutant]:
    places = sorted(source.sample(range(len(mutants)), min(count, len(mutants))))
    return [mutants[place] for place in places]


def judge_artifacts(root: Path, target: str, mutants: Iterable[Mutant], work: Path) -> Iterator[Row]:
    """Yield what becomes of mutants of an artifact of the source made in `root`; `work` is a folder for copies."""
    sound, reference = root / target / "output", root / "reference" / "output"
    prepare(target, sound)
    found = measured(target, sound, reference)
    assert found.get("failed") == [], f"{root.name}, {target}: the sound artifact is not released: {found}"
    unchanged = found["served"]
    for mutant in mutants:
        folder = work / "artifact"
        copy_linked(sound, folder)
        mutant.apply(folder)
        yield Row.of(root.name, target, mutant, judge(target, folder, reference, unchanged))
        shutil.rmtree(folder)
