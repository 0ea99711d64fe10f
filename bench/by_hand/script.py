"""The hand-written script: what it runs, in which order, two things at once where they do not need each other.

Bases are shared: the F16 GGUF, the importance matrix, the fp32 graph and the source's log-probabilities are made once.
It has no store but the bucket it uploads to, no registry, no gates, no keys; it verifies the download and nothing else.
Tools get one thread each, timings the machine for themselves and all cores but one, as in the release.
"""

import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.places import MODEL, Places, python, task_variables
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.formats.gguf.quantizations import QUANTIZATIONS
from tasks.host.facts import host_facts
from tasks.pools import timing_threads
from tasks.settings import REPOSITORY

RUNTIMES = {"gguf": "llama-cpp", "onnx": "onnxruntime", "safetensors": "torch"}
"""By a target's format: where its engine lives."""


@dataclass
class ByHand:
    """The steps, by name as in `ours`; results lie in `folder`, what each step used in `steps`.

    code: digest of all code that is measured; what was made by other code is made anew.
    """

    places: Places
    folder: Path
    variables: dict[str, str]
    settings: dict[str, int]
    code: str
    steps: dict[str, dict[str, float]] = field(default_factory=dict)

    def run(self, step: str) -> None:
        """Run one step; raises RuntimeError as it fails."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kind, _, target = step.partition(":")
        threads = timing_threads(host_facts().cores) if kind == "benchmark" else 1
        environment = self.places.environment(self.folder) | task_variables(threads) | self.variables
        environment["PYTHONPATH"] += (
            f":{llama_cpp().tree / 'gguf-py'}:{llama_cpp().tree}" if target == "gguf-f16" else ""
        )
        self._stamp(step).unlink(missing_ok=True)
        began = time.monotonic()
        log = self.folder / f"{step.replace(':', '-')}.log"
        with log.open("wb") as said:
            child = subprocess.Popen(
                self.command(kind, target),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"The step {step} failed:\n{log.read_text()[-3000:]}")
        cpu = used.ru_utime + used.ru_stime
        self.steps[step] = {"wall_seconds": round(time.monotonic() - began, 2), "cpu_seconds": round(cpu, 2)}
        self._stamp(step).write_text(self.code)

    def made(self, step: str) -> bool:
        """Whether a step ended well, with this code, and its result lies there."""
        return self._stamp(step).exists() and self._stamp(step).read_text() == self.code

    def _stamp(self, step: str) -> Path:
        return self.folder / f"{step.replace(':', '-')}.done"

    def command(self, kind: str, target: str) -> list[str]:
        """Return the command of a step."""
        made = str(self.folder / target)
        model, source = str(self.folder / "model"), str(self.folder / "source")
        if kind == "fetch":
            return _python("control", "download", MODEL, model)
        if kind == "upload":
            return _python("control", "upload", "by-hand", *target.split(","))
        if kind == "reference":
            text = REPOSITORY / "dags" / "recipes" / "texts" / "bench-evaluation.jsonl"
            return _python("torch", "source", model, str(text), json.dumps(self.settings), source)
        if kind == "evaluate":
            return _python(_engine(target), "evaluate", target, made, source, str(self.folder / f"{target}.json"))
        if kind == "benchmark":
            output, threads = str(self.folder / f"{target}-speed.json"), str(timing_threads(host_facts().cores))
            return _python(_engine(target), "speed", target, made, source, output, threads)
        if target.startswith("gguf-"):
            Path(made).mkdir(exist_ok=True)
            return self._gguf(target.removeprefix("gguf-"), Path(made), model)
        exported = str(self.folder / "onnx-fp32") if target == "onnx-int8" else model
        return _python("torch", "export", target.split("-")[1], exported, made)

    def _gguf(self, kind: str, made: Path, model: str) -> list[str]:
        base, programs = str(self.folder / "gguf-f16" / "model-F16.gguf"), llama_cpp().bin
        if kind == "f16":
            driver = str(REPOSITORY / "tasks" / "formats" / "gguf" / "hf_to_gguf.py")
            options = ["--byte-level", "--candidate", "smollm", "--decision", str(made.parent / "decision.json")]
            return [python("torch"), "-P", driver, "--model", model, "--output", base, *options]
        matrix = str(self.folder / "gguf-imatrix" / "imatrix.gguf")
        if kind == "imatrix":
            text = self.folder / "calibration.txt"
            records = (REPOSITORY / "dags" / "recipes" / "texts" / "bench-calibration.jsonl").read_text().splitlines()
            text.write_text("\n\n".join(json.loads(record)["text"] for record in records) + "\n")
            options = ["-c", "512", "-b", "512", "-t", "1", "--parse-special", "--no-ppl"]
            rounded = str(made / "rounded.gguf")
            rounding = [str(programs / "llama-quantize"), base, rounded, "Q8_0", "1"]
            running = [str(programs / "llama-imatrix"), "-m", rounded, "-f", str(text), "-o", matrix, *options]
            return ["bash", "-ec", f"{shlex.join(rounding)}; {shlex.join(running)}"]
        weighted = ["--imatrix", matrix] if QUANTIZATIONS[kind].imatrix else []
        output = str(made / f"model-{kind.upper()}.gguf")
        return [str(programs / "llama-quantize"), *weighted, base, output, kind.upper(), "1"]

    def release(self, targets: Sequence[str]) -> None:
        """Make and measure all targets, and upload them."""
        self.run("fetch")
        with ThreadPoolExecutor(host_facts().cores) as workers:
            self._in_order(workers, plan(targets))
        for target in targets:
            self.run(f"benchmark:{target}")
        self.run(f"upload:{','.join(targets)}")

    def naive(self, targets: Sequence[str]) -> None:
        """The same with nothing shared: each target from the source again, and the source's answers with it."""
        self.run("fetch")
        for target in targets:
            for step in naive_steps(target):
                earlier = self.steps.get(step, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
                self.run(step)
                self.steps[step] = {name: round(self.steps[step][name] + earlier[name], 2) for name in earlier}
        self.run(f"upload:{','.join(targets)}")

    def _in_order(self, workers: ThreadPoolExecutor, steps: dict[str, list[str]]) -> None:
        """Run steps as their needs are met, bases first; as many at once as there are workers."""
        waiting, running, changed = dict(steps), dict[str, Future[None]](), threading.Condition()
        finished: set[str] = set()

        def work(step: str) -> None:
            try:
                self.run(step)
            finally:
                with changed:
                    finished.add(step)
                    changed.notify()

        with changed:
            while waiting or len(finished) < len(running):
                for step in [step for step, needs in waiting.items() if finished.issuperset(needs)]:
                    del waiting[step]
                    running[step] = workers.submit(work, step)
                changed.wait()
                for step in finished:
                    running[step].result()


def plan(targets: Sequence[str]) -> dict[str, list[str]]:
    """Return all steps between download and timing, each with those it needs."""
    steps: dict[str, list[str]] = {}
    for target in targets:
        for base in bases(target):
            steps.setdefault(base, bases(base.partition(":")[2]))
    steps["reference"] = []
    steps |= {f"convert:{target}": bases(target) for target in targets}
    return steps | {f"evaluate:{target}": [f"convert:{target}", "reference"] for target in targets}


def naive_steps(target: str) -> list[str]:
    """Return what making and measuring one target from the source takes where nothing is there yet."""
    return [*bases(target), f"convert:{target}", "reference", f"evaluate:{target}", f"benchmark:{target}"]


def bases(target: str) -> list[str]:
    """Return the conversions that a target's own needs."""
    if target == "onnx-int8":
        return ["convert:onnx-fp32"]
    if not target.startswith("gguf-") or target == "gguf-f16":
        return []
    kind = target.removeprefix("gguf-")
    weighted = kind in QUANTIZATIONS and QUANTIZATIONS[kind].imatrix
    return ["convert:gguf-f16", *(["convert:gguf-imatrix"] if weighted else [])]


def _engine(target: str) -> str:
    return RUNTIMES[target.partition("-")[0]]


def _python(runtime: str, program: str, *arguments: str) -> list[str]:
    return [python(runtime), "-m", f"bench.by_hand.{program}", *arguments]
