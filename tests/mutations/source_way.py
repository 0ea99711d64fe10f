"""What becomes of a source that was changed: the whole way from scan to the gates, in the runtime `torch`.

refused         scan, analyze, preflight, reference, or the conversions of all targets end in one sentence of ours
blocked         what can be made of it does not pass its gates; the detail names them
released right  something passes, and the reference is what the libraries alone say of the changed source
survived        something passes, and the reference is not that
crashed         an exception that is none of ours
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

from tasks.errors import HallmarkError
from tasks.formats.registry import parse_target
from tasks.plan.parameters import PreflightParameters
from tasks.plan.preflight import preflight
from tasks.pools import Pool
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tasks.source.parameters import ScanParameters
from tasks.source.scan import scan
from tests.fixtures.context import make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.source import source_inputs
from tests.mutations.artifacts import companion_mutants
from tests.mutations.export import exported_before
from tests.mutations.isolated import Died, isolated
from tests.mutations.judging import Verdict, measured, prepare
from tests.mutations.make import make_artifact, make_reference
from tests.mutations.mutant import Mutant, copy_linked
from tests.mutations.oracle import differences
from tests.mutations.places import PLACES, SOURCE, TARGETS
from tests.mutations.row import Row
from tests.mutations.safetensors_file import safetensors_mutants
from tests.mutations.sources import SOURCES, fields_of_others, placed_elsewhere
from tests.mutations.spellings import respelled

SECONDS = 300
EXPORT = "tasks.formats.onnx.convert.export_graph"
SCAN = ScanParameters(repository="acme/tiny", commit="0" * 40)
POOL = Pool.model_validate({"name": "cpu", "slots": 2, "memory_bytes": 1 << 34, "hardware": "a test's"})
PREFLIGHT = PreflightParameters(
    targets=tuple(map(parse_target, TARGETS)), pools=(POOL,), text_bytes=100_000, disk_bytes=1 << 36
)


def source_mutants(snapshot: Path) -> list[Mutant]:
    """Return all mutants of a source: of its weights, of every file beside them, of the places of template and rope.

    It also gets the fields that the configurations of the other sources have and its own lacks. Those that are not made
    yet are made beside it.
    """
    others = [snapshot.parent.parent / name / "snapshot" for name in SOURCES if name != snapshot.parent.name]
    for path in others:
        if not path.exists():
            SOURCES[path.parent.name](path)
    return [
        *safetensors_mutants(snapshot),
        *companion_mutants(snapshot),
        *placed_elsewhere(snapshot),
        *respelled(snapshot),
        *fields_of_others(snapshot, others),
    ]


Evaluate = Callable[[Path, Path], dict[str, Any]]
"""What a source's artifact is measured by: a function of its folder and the reference's."""


def judge_sources(root: Path, mutants: Iterable[Mutant], work: Path) -> Iterator[Row]:
    """Yield what becomes of mutants of the source made in `root`; `work` is a folder for copies."""
    with ExitStack() as stack:
        evaluators = {target: stack.enter_context(evaluator(target, root / target / "output")) for target in TARGETS}
        # The sound source goes the way in this process, so that its children have imported all.
        copy_linked(root / "snapshot", work / "sound" / "snapshot")
        outcome, detail = _go(work / "sound", root, evaluators)
        assert outcome == "released right" and not detail, f"the sound source is not released: {detail}"
        for number, mutant in enumerate(mutants):
            yield Row.of(root.name, SOURCE, mutant, _judge(mutant, work / str(number), root, evaluators))


def _judge(mutant: Mutant, folder: Path, root: Path, evaluators: Mapping[str, Evaluate]) -> Verdict:
    copy_linked(root / "snapshot", folder / "snapshot")
    mutant.apply(folder / "snapshot")
    try:
        return Verdict(*isolated(lambda: _go(folder, root, evaluators), SECONDS))
    except Died as death:
        return Verdict("crashed", f"died of {death}")
    except RuntimeError as error:
        return Verdict("crashed", str(error))
    finally:
        shutil.rmtree(folder)


@contextmanager
def evaluator(target: str, sound: Path | None = None) -> Iterator[Evaluate]:
    """Give a function that measures artifacts of a target, by a process where its engine lives in another runtime.

    sound: an artifact that is opened at once, so that the children of the process have what opening imports.
    """
    if PLACES[target] == PLACES[SOURCE]:
        if sound:
            prepare(target, sound)
        yield lambda folder, reference: measured(target, folder, reference, listen=False)
        return
    process = subprocess.Popen(
        [runtime(PLACES[target]).python, "-m", "tests.mutations.evaluator", target, *filter(None, [sound])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        text=True,
    )

    def evaluate(folder: Path, reference: Path) -> dict[str, Any]:
        assert process.stdin and process.stdout
        print(json.dumps([str(folder), str(folder), str(reference)]), file=process.stdin, flush=True)
        for line in process.stdout:
            name, found = json.loads(line)
            # The asker before may have been ended, and its answer left unread.
            if name == str(folder):
                return dict(found)
        raise RuntimeError(f"the evaluator of {target} has ended")

    yield evaluate
    process.communicate()


def _go(folder: Path, base: Path, evaluators: Mapping[str, Evaluate]) -> tuple[str, str]:
    """Go the whole way. Return the outcome and its detail."""
    exports = base / "exports"
    exports.mkdir(exist_ok=True)
    with shortcuts(), patch(EXPORT, exported_before(exports, resolve_name(EXPORT))):
        try:
            reference, targets = released(folder, evaluators)
        except HallmarkError as error:
            return "refused", str(error)
    for target, (outcome, said) in targets.items():
        if outcome == "crashed":
            return "crashed", f"{target}: {said}"
    passed = [target for target, (outcome, _) in targets.items() if outcome == "passed"]
    missed = [f"{target}: {said}" for target, (outcome, said) in targets.items() if outcome != "passed"]
    detail = "; ".join(" ".join(line.split())[:300] for line in missed)
    if not passed:
        blocked = any(outcome == "blocked" for outcome, _ in targets.values())
        return "blocked" if blocked else "refused", detail
    wrong = list(differences(folder / "snapshot", reference))
    wrong += _notices(folder / "snapshot", [folder / target / "output" for target in passed])
    return ("survived", "; ".join(wrong)) if wrong else ("released right", detail)


def released(folder: Path, evaluators: Mapping[str, Evaluate]) -> tuple[Path, dict[str, tuple[str, str]]]:
    """Release the source in `folder/snapshot`: from the scan to the gates of each target. A crash ends it.

    Return the reference, and what became of each target: "passed", "blocked", "refused" or "crashed", and the failed
    gates or the sentence. Raises HallmarkError where the source itself is refused.
    """
    snapshot = folder / "snapshot"
    scan(SCAN, make_context(folder / "scan", {"snapshot": snapshot}))
    inputs = source_inputs(snapshot, folder / "analysis")
    plan = preflight(PREFLIGHT, make_context(folder / "plan", {"analysis": inputs["analysis"]}))["targets"]
    reference = make_reference(folder, inputs)
    found: dict[str, tuple[str, str]] = {}
    for target in TARGETS:
        if not plan[target]["made"]:
            found[target] = "refused", plan[target]["reason"]
            continue
        try:
            output = make_artifact(folder, inputs, target)
        except HallmarkError as error:
            found[target] = "refused", str(error)
            continue
        said = evaluators[target](output, reference)
        if "crashed" in said:
            found[target] = "crashed", said["crashed"]
            break
        if "refused" in said:
            found[target] = "refused", said["refused"]
        else:
            found[target] = "blocked" if said["failed"] else "passed", ", ".join(said["failed"])
    return reference, found


def _notices(snapshot: Path, outputs: Iterable[Path]) -> list[str]:
    licence = snapshot / "LICENSE"
    if not licence.exists():
        return []
    return [
        f"{output.parent.name}: another licence"
        for output in outputs
        if (output / "LICENSE").read_bytes() != licence.read_bytes()
    ]
