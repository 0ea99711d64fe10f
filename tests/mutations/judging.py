"""What becomes of an artifact, by the product's own ways: it is compared with its source, opened, measured and gated.

refused     compared, opened or measured, it ends in one sentence of ours, or its engine dies, which the product reports
blocked     a gate on the weights fails, or one of the recipe; the detail names it
no effect   all gates pass, and it serves what the unchanged artifact serves, to the last bit
survived    all gates pass, and it serves something else
crashed     an exception that is none of ours
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tasks.engines.runner import Runner
from tasks.engines.text_model import first_ids
from tasks.errors import HallmarkError
from tasks.evaluation.measure import absent_metrics, measure
from tasks.evaluation.reference_files import Chats, Generations, ServedCases, read_part
from tasks.formats.registry import load_format, parse_target
from tasks.gates.integrity import INTEGRITY_RULES
from tasks.gates.noise_floor import in_effect
from tasks.gates.rules import apply
from tasks.integrity.compare_weights import compare_weights
from tasks.integrity.parameters import CompareParameters
from tasks.integrity.record import INTEGRITY_FILE, Integrity
from tasks.proving.opening import open_artifact
from tasks.recipe import load_recipe
from tasks.settings import REPOSITORY
from tests.fixtures.context import make_context
from tests.mutations.isolated import Died, isolated
from tests.mutations.places import QUANTIZED, TEXTS

RECIPE = REPOSITORY / "dags" / "recipes" / "standard.yaml"

SIZE = 1_000_000
"""More parameters than the sources have; the default gates are the same for all models below 10 million."""

NOT_OF_THE_ARTIFACT = {"decode_tokens_per_second"}
"""Metrics of gates that depend on the host."""

OF_TRAINED_MODELS = {"top1_agreement"}
"""Metrics of gates that a sound quantized file misses here. With random weights, many next tokens are nearly as likely
as the most likely one. Rounding to 8 bits changes which of them that is."""

Outcome = Literal["refused", "blocked", "no effect", "survived", "crashed", "released right"]

NOTICES = ("LICENSE",)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, and why: the sentence, the gates, or the parts of what is served that differ."""

    outcome: Outcome
    detail: str = ""


def prepare(target: str, folder: Path) -> None:
    """Open the sound artifact once, so that all is imported: a child has what its parent has imported."""
    runner = open_artifact(parse_target(target), folder, 1)
    for block in runner.logits(runner.tokenize("a")):
        assert len(block)
    runner.close()


def judge(target: str, folder: Path, reference: Path, unchanged: Mapping[str, str]) -> Verdict:
    """Return what becomes of the artifact in `folder`; `unchanged` is what the sound one serves."""
    found = measured(target, folder, reference)
    if "crashed" in found:
        return Verdict("crashed", found["crashed"])
    if "refused" in found:
        return Verdict("refused", found["refused"])
    if found["failed"]:
        return Verdict("blocked", ", ".join(found["failed"]))
    differing = [part for part, digest in unchanged.items() if found["served"].get(part) != digest]
    return Verdict("survived", ", ".join(differing)) if differing else Verdict("no effect")


def measured(target: str, folder: Path, reference: Path, listen: bool = True) -> dict[str, Any]:
    """Compare, open and measure an artifact in a child; `reference` is the folder `reference/output` of its source.

    Return one of these. refused: the sentence. crashed: a traceback. failed: the metrics whose gates fail. Where none
    fails, `served` has digests of what the artifact serves, by parts, unless `listen` is false.
    """
    try:
        found: dict[str, Any] = isolated(lambda: _open_and_measure(target, folder, reference, listen))
    except Died as death:
        return {"refused": f"the engine dies ({death})"}
    except RuntimeError as error:
        return {"crashed": str(error)}
    return found


def _open_and_measure(target: str, folder: Path, reference: Path, listen: bool) -> dict[str, Any]:
    try:
        weights = _compare(target, folder, reference.parents[1]).metrics
        unfaithful = [rule.metric for rule in INTEGRITY_RULES if apply(rule, weights).outcome == "fail"]
        if unfaithful:
            # It is blocked, whatever the engine would say.
            return {"failed": unfaithful, "served": {}}
        runner = open_artifact(parse_target(target), folder, 1)
        evaluation, *_ = measure(runner, reference, lambda message, fraction: None)
    except HallmarkError as error:
        return {"refused": str(error)}
    absent = absent_metrics(reference)
    left_out = NOT_OF_THE_ARTIFACT | (OF_TRAINED_MODELS if target in QUANTIZED else set())
    rules = [rule for rule in load_recipe(RECIPE).rules_for(target, SIZE) if rule.metric not in left_out]
    metrics = {**weights, **evaluation.metrics}
    answers = [apply(in_effect(rule, metrics)[0], metrics, absent) for rule in rules]
    failed = [answer.rule.metric for answer in answers if answer.outcome == "fail"]
    return {
        "failed": failed,
        "served": {} if failed or not listen else _served(runner, folder, reference),
    }


def _compare(target: str, folder: Path, root: Path) -> Integrity:
    """Run the task that compares an artifact's weights with those of the source in `root`."""
    parsed = parse_target(target)
    inputs = {"artifact": folder, "snapshot": root / "snapshot", "analysis": root / "analysis" / "output"}
    bases = [name for name in load_format(parsed.format).tensors.bases if name in parsed.bases]
    with tempfile.TemporaryDirectory() as work:
        context = make_context(Path(work), inputs | {name: root / name / "output" for name in bases})
        compare_weights(CompareParameters(target=parsed), context)
        return Integrity.read_file(context.output / INTEGRITY_FILE, INTEGRITY_FILE)


def _served(runner: Runner, folder: Path, reference: Path) -> dict[str, str]:
    # Artifacts that pass their gates agree on the parity texts, so these are others.
    texts = json.loads((reference.parents[1] / TEXTS).read_bytes())
    cases = read_part(reference, "served.json", ServedCases)
    generations = read_part(reference, "generations.json", Generations)
    chats = read_part(reference, "chats.json", Chats).cases if (reference / "chats.json").exists() else ()
    prompts = [{"prompt": one.prompt} for one in cases.prompts if one.prompt is not None]
    windows = [np.load(path).tolist() for path in sorted(reference.rglob("tokens.npy"))]
    logits = hashlib.sha256()
    for ids in (window for some in windows for window in some):
        for block in runner.logits(ids):
            logits.update(block.tobytes())
    return {
        "tokens": _digest([runner.tokenize(text) for text in texts]),
        "opening": _digest([first_ids(runner._model), *map(runner.input_ids, prompts)]),
        "chats": _digest([runner.render_chat(one.messages, one.add_generation_prompt) for one in chats]),
        "ends": _digest(sorted(runner.end_ids)),
        "texts": _digest([runner.continuation_text(one.prompt_ids, one.token_ids) for one in cases.continuations]),
        "pieces": _digest([runner.detokenize([token]) for token in range(runner.vocabulary_size)]),
        "generated": _digest([runner.generate(one.prompt_ids, 16).token_ids for one in generations.continuations]),
        "logits": logits.hexdigest(),
        "context": str(runner.context_length),
        "notices": _digest([(folder / name).read_text() if (folder / name).exists() else "" for name in NOTICES]),
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
