"""What evaluation adds to an engine: python -m bench.overhead TARGET ARTIFACT REFERENCE SHARED first|later.

The engine's own pass over the reference's first windows, and the same pass with every row compared, in one process and
in turn, in the engine's runtime. Prints JSON: CPU milliseconds a token of the engine alone, what comparing added to
them, and by how many bytes the process's peak of memory grew. For the `first` artifact on a host the source's rows are
computed, for the `later` ones they are read.
"""

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tasks.evaluation.fidelity import measure_fidelity
from tasks.evaluation.reference_reader import open_reference
from tasks.formats.registry import parse_target
from tasks.host.proc import memory_fields
from tasks.proving.opening import open_artifact

TURNS, WINDOWS = 3, 2


def main(target: str, artifact: Path, folder: Path, shared: Path, turn: str) -> None:
    """Measure and print."""
    runner = open_artifact(parse_target(target), artifact, 1)
    tokens = open_reference(folder).tokens[:WINDOWS]

    def alone() -> None:
        for ids in tokens:
            for _ in runner.logits([int(token) for token in ids]):
                pass

    def compared() -> None:
        reference = open_reference(folder, shared)
        reference.info = reference.info.model_copy(update={"windows": WINDOWS})
        measure_fidelity(runner, reference, _quiet)

    alone()
    before = _peak()
    engine, whole = [], []
    for _ in range(TURNS):
        if turn == "first":
            shutil.rmtree(shared, ignore_errors=True)
        shared.mkdir(parents=True, exist_ok=True)
        engine.append(_cpu(alone))
        whole.append(_cpu(compared))
    own, both = (1e3 * statistics.median(seconds) / tokens.size for seconds in (engine, whole))
    print(json.dumps({"engine_ms": own, "added_ms": both - own, "added_bytes": _peak() - before}))


def _quiet(done: float, state: str) -> None:
    """Nobody watches this comparison."""


def _cpu(call: Callable[[], None]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _peak() -> int:
    return memory_fields("self")["VmHWM"]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
