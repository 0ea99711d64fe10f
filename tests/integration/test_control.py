"""Real calibrated files and their control: a sound one passes, and two planted faults of the calibration block."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.evaluation.measurement import Benchmark
from tasks.formats.gguf.header import read_header
from tasks.formats.registry import parse_target
from tasks.gates.verdict import Verdict
from tasks.plan.controls import control_of
from tasks.runtimes import environments, tools
from tasks.settings import REPOSITORY
from tasks.store.local import LocalStore
from tests.bad_input.snapshots import keep
from tests.fixtures.by_hand import BESIDE_OTHERS, Runs

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

DEMO = REPOSITORY / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"
TEXTS = REPOSITORY / "dags" / "recipes" / "texts"
SETTINGS = {"window_tokens": 256, "windows": 24, "generations": 1, "generated_tokens": 8, "long_window_tokens": 0}
RULE = {"metric": "kld_mean", "maximum": 1.0, "reason": "so loose that only the control can block"}
TARGET = parse_target("gguf-q4_0")


@dataclass(frozen=True)
class Made:
    """The keys of what all calibrations of the demo model share."""

    run: Runs
    store: LocalStore
    snapshot: str
    analysis: str
    reference: str
    f16: str
    imatrix: str
    control: str
    benchmark: str

    def folder(self, key: str) -> Path:
        """Return the folder with the files of an artifact."""
        (found,) = (path for path in (self.store.root / "artifacts" / key).iterdir() if path.is_dir())
        return found

    def judged(self, imatrix: str) -> Verdict:
        """Return the verdict on the target, made with this importance matrix."""
        artifact = self.run.key("convert", CONVERTED, gguf_f16=self.f16, gguf_imatrix=imatrix)
        source = {"snapshot": self.snapshot, "analysis": self.analysis}
        integrity = self.run.key("compare_weights", CONVERTED, artifact=artifact, gguf_imatrix=imatrix, **source)
        given = {"artifact": artifact, "reference": self.reference}
        evaluation = self.run.key("evaluate", MEASURED, analysis=self.analysis, **given)
        control = self.run.key("compare_control", MEASURED, control=self.control, evaluation=evaluation, **given)
        documents = {"integrity": integrity, "evaluation": evaluation, "benchmark": self.benchmark, "control": control}
        key = self.run.key("gate", {"target": TARGET.name, "rules": [RULE]}, artifact=artifact, **documents)
        return Verdict.from_json((self.folder(key) / "verdict.json").read_text())


CONVERTED = {"target": TARGET.converted().model_dump(mode="json")}
MEASURED = {"target": TARGET.measured_by(TARGET.engines[0]).model_dump(mode="json")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("control")
    store = LocalStore(folder / "store")
    home = folder / "home"
    home.mkdir()
    (home / "settings.toml").write_text(BESIDE_OTHERS)
    variables = {"HALLMARK_HOME": str(home), "HALLMARK_STORE": store.url}
    variables |= {"HALLMARK_ENVS": str(environments()), "HALLMARK_TOOLS": str(tools())}
    run = Runs(folder, {**os.environ, **variables})
    snapshot = keep(store, DEMO).key
    analysis = run.key("analyze", {}, snapshot=snapshot)
    evaluation_text, calibration = (_text(run, name) for name in ("demo-evaluation", "demo-calibration"))
    source = {"snapshot": snapshot, "analysis": analysis}
    reference = run.key("reference", {"settings": SETTINGS}, evaluation_text=evaluation_text, **source)

    def convert(name: str, **inputs: str) -> str:
        return run.key("convert", {"target": parse_target(name).model_dump(mode="json")}, **inputs)

    f16 = convert("gguf-f16", **source)
    imatrix = convert("gguf-imatrix", gguf_f16=f16, calibration=calibration)
    target = control_of(TARGET, [])
    assert target
    control = run.key("convert", {"target": target.model_dump(mode="json")}, gguf_f16=f16)
    return Made(run, store, snapshot, analysis, reference, f16, imatrix, control, _benchmark(store, folder))


def _benchmark(store: LocalStore, folder: Path) -> str:
    """Keep a benchmark without numbers: a real one waits until nothing else runs on the host."""
    made = folder / "benchmark"
    made.mkdir()
    found = Benchmark(
        engine="none", threads=1, hardware="none", prompt_tokens=8, generated_tokens=8, repetitions=2, metrics={}
    )
    (made / "benchmark.json").write_text(found.to_json())
    return keep(store, made).key


def _text(run: Runs, name: str) -> str:
    path = TEXTS / f"{name}.jsonl"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return run.key("text", {"path": path.relative_to(REPOSITORY).as_posix(), "sha256": digest})


Change = Callable[[Path], None]


def misplaced(path: Path) -> None:
    """Let the least important of every 32 columns be the only important one."""
    for tensor in read_header(path).tensors:
        if tensor.name.endswith(".in_sum2"):
            sums: NDArray[np.float32] = np.memmap(path, "<f4", "r+", tensor.start, (tensor.elements // 32, 32))
            least = sums.argmin(axis=1)
            sums[:] = 1e-6
            sums[np.arange(len(sums)), least] = 1e6


def of_another_model(path: Path) -> None:
    """Rename the matrices. llama-quantize then finds no importance for its tensors, and goes on without."""
    path.write_bytes(path.read_bytes().replace(b"blk.", b"lay.").replace(b"token_embd", b"token_what"))


def planted(made: Made, folder: Path, change: Change) -> str:
    """Return the key of a copy of the importance matrix with a fault."""
    copy = folder / "imatrix"
    shutil.copytree(made.folder(made.imatrix), copy)
    (path,) = copy.glob("*.gguf")
    path.chmod(0o644)
    change(path)
    return keep(made.store, copy).key


def test_a_sound_calibration_passes_and_shows_both_numbers(made: Made) -> None:
    verdict = made.judged(made.imatrix)
    assert verdict.passed, verdict.reason
    lines = [answer.why for answer in verdict.answers]
    assert "calibration changed the weights" in lines
    (line,) = (line for line in lines if line.startswith("KLD above control"))
    assert "without calibration" in line and "on the same" in line


def test_a_calibration_that_makes_the_file_worse_blocks(made: Made, tmp_path: Path) -> None:
    verdict = made.judged(planted(made, tmp_path, misplaced))
    assert not verdict.passed
    assert "calibration makes it worse" in verdict.reason and "without calibration" in verdict.reason


def test_a_calibration_that_was_ignored_blocks(made: Made, tmp_path: Path) -> None:
    verdict = made.judged(planted(made, tmp_path, of_another_model))
    assert not verdict.passed
    assert verdict.reason.startswith("calibration changed nothing: every weight is that of the same type without it")
