"""Measures what is still missing, row by row, the sides in turn: started by `python -m bench` in its tree."""

import argparse
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag

from bench.by_hand.script import ByHand
from bench.conditions import Conditions, conditions
from bench.meter import ALL_SERVERS, Metered, meter
from bench.ours import Ours
from bench.places import Places, python, task_variables
from bench.processes import become_subreaper
from bench.release import DAGS, FLOOR, facts_of, floor, release
from bench.results import Repetition, due, keep, now, read_results
from bench.rows import EMPTY, NAIVE, OURS, Row, rows, steps
from bench.stack import Stack
from deploy.real.__main__ import different, rebuild
from deploy.setup.errors import SetupError
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.formats.registry import load_format, parse_target
from tasks.recipe import load_recipe

BASES = {
    "gguf-one": ["convert:gguf-f16", "convert:gguf-imatrix"],
    "evaluate-one": ["convert:gguf-q4_k_m", "reference"],
}


OVERHEADS = ("gguf-f16", "gguf-q8_0", "gguf-q4_k_m", "onnx-fp32", "onnx-int8")
"""Artifacts of the engines whose runners are ours, the fastest types among them."""


class Run:
    """One call of the benchmark."""

    def __init__(self, places: Places, results: Path, commit: str) -> None:
        self.places, self.results = places, results
        self.recipe = load_recipe(places.tree / "dags" / "recipes" / "bench.yaml")
        self.targets = self.recipe.target_names
        self.conditions: Conditions = conditions(places.tree, commit, llama_cpp().bin.parent)
        self.stack = Stack(places, places.state)

    def measure(self, row: Row, wanted: int, again: bool) -> None:
        """Measure the repetitions of a row that are missing, the sides in turn."""
        absent = due(read_results(self.results), row, wanted, self.conditions, again)
        for number in range(1, wanted + 1):
            for side in row.sides:
                if number in absent[side]:
                    self._keep(row, side, number)
                else:
                    print(f"{row.name}, {side}, {number}: measured already", flush=True)

    def _keep(self, row: Row, side: str, number: int) -> None:
        print(f"{row.name}, {side}, {number}: measuring", flush=True)
        metered, facts = (self._release if row.release else self._short)(row, side)
        found = Repetition(
            row=row.name,
            side=side,
            number=number,
            measured=now(),
            conditions=self.conditions,
            metered=metered,
            facts=facts,
        )
        keep(self.results, found)
        told = f"CPU {metered.cpu_seconds} s, wall {metered.wall_seconds} s, others {metered.others}"
        print(f"{row.name}, {side}, {number}: {told}", flush=True)

    def _short(self, row: Row, side: str) -> tuple[Metered, dict[str, Any]]:
        stack = self.stack
        stack.up()
        if row.name == "overhead":
            return self._overhead(stack)
        wanted = steps(row.name, self.targets)
        before = BASES.get(
            row.name, [f"convert:{target}" for target in self.targets] if row.name == "evaluate-all" else []
        )
        if side == OURS:
            ours = Ours(self.places, stack, self._worker(row))
            # `force`d below, so that it is done again; what it needs is made, or found, before the clock starts.
            for step in ["pin", *before, *wanted] if row.name != "fetch" else ["pin"]:
                ours.run(step)
            if row.name == "evaluate-all":
                # The source's rows are part of it: the first evaluation computes them.
                shutil.rmtree(self.stack.home / "cache" / "workspaces")
            with meter(ALL_SERVERS) as metered:
                results = {step: ours.run(step, force=True) for step in wanted}
            facts = {"steps": {step: told.cost.model_dump() for step, told in results.items()}}
            return metered.result, facts
        script = self._script(stack)
        for step in ["fetch", *before]:
            if row.name != "fetch" and not script.made(step):
                script.run(step)
        if row.name == "fetch":
            shutil.rmtree(self.places.by_hand / "model", ignore_errors=True)
        with meter(ALL_SERVERS) as metered:
            for step in wanted:
                script.run(step)
        return metered.result, {"steps": {step: script.steps[step] for step in wanted}}

    def _worker(self, row: Row) -> Path:
        """Return the worker's folder: an empty one for a fetch, which would find all there otherwise."""
        if row.name != "fetch":
            return self.stack.home
        folder = self.places.root / "empty-worker"
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _overhead(self, stack: Stack) -> tuple[Metered, dict[str, Any]]:
        ours = Ours(self.places, stack, stack.home)
        reference = ours.folder("reference")
        shared, found = self.places.root / "shared-rows", {}
        with meter(ALL_SERVERS) as metered:
            for target in OVERHEADS:
                told = {}
                for turn in ("first", "later"):
                    command = [
                        python(_engine_runtime(target)),
                        "-m",
                        "bench.overhead",
                        target,
                    ]
                    command += [str(ours.folder(f"convert:{target}")), str(reference), str(shared), turn]
                    environment = self.places.environment(stack.home) | task_variables(1)
                    done = subprocess.run(
                        command, cwd=self.places.tree, env=environment, check=True, stdout=subprocess.PIPE, text=True
                    )
                    told[turn] = json.loads(done.stdout.splitlines()[-1])
                found[target] = told
        return metered.result, {"targets": found}

    def _release(self, row: Row, side: str) -> tuple[Metered, dict[str, Any]]:
        if side == OURS:
            return self._ours(row)
        stack = self.stack
        stack.up()
        shutil.rmtree(self.places.by_hand, ignore_errors=True)
        script = self._script(stack)
        with meter(frozenset({"airflow", "mlflow"})) as metered:
            script.naive(self.targets) if side == NAIVE else script.release(self.targets)
        return metered.result, {"steps": script.steps}

    def _ours(self, row: Row) -> tuple[Metered, dict[str, Any]]:
        if row.name in EMPTY:
            self.stack.empty()
            self.stack = Stack(self.places, self.places.state)
        stack = self.stack
        stack.up()
        with stack.airflow() as airflow:
            airflow.wait_for_dag(FLOOR if row.name == "floor" else DAGS[row.name])
        if row.name == "floor":
            with meter(frozenset()) as metered:
                found = floor(stack)
            return metered.result, found
        dag = DAGS[row.name]
        if row.name == "again" and not _released(stack, dag):
            print("There is no release to repeat yet; releasing first.", flush=True)
            release(stack, dag, self.targets)
        with meter(frozenset()) as metered:
            told = release(stack, dag, self.targets)
        return metered.result, facts_of(stack, told, self._edges(dag))

    def _script(self, stack: Stack) -> ByHand:
        settings = self.recipe.evaluation.settings.model_dump()
        return ByHand(self.places, self.places.by_hand, dict(stack.variables), settings, self.conditions.code)

    def _edges(self, dag: str) -> dict[str, list[str]]:
        """What each task of a DAG waits for."""
        bag = DagBag(self.places.tree / "dags")
        return {task.task_id: sorted(task.upstream_task_ids) for task in bag.dags[dag].tasks}


def _released(stack: Stack, dag: str) -> bool:
    with stack.airflow() as airflow:
        return any(run.state == "success" for run in airflow.runs(dag))


def make_model(places: Places) -> None:
    """Rebuild the checkpoint, unless it is there; a stack that serves another is forgotten. Raises SetupError."""
    if not different(places.model):
        return
    for stale in (places.state, places.by_hand):
        shutil.rmtree(stale, ignore_errors=True)
    rebuild(places.model)
    if names := different(places.model):
        raise SetupError(f"The rebuilt model is not the expected one: see {', '.join(names)}.")


def main() -> int:
    """Measure; return 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    become_subreaper()
    # So that the stacks are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    places = Places(options.root)
    run = Run(places, options.results, options.commit)
    known = {row.name: row for row in rows(run.targets)}
    if unknown := set(options.rows) - set(known):
        parser.error(f"there is no row {sorted(unknown)[0]!r} (known: {', '.join(known)})")
    # One that an earlier call left is not below this process, and could not be metered.
    run.stack.down()
    make_model(places)
    try:
        for name in options.rows or known:
            run.measure(known[name], options.repetitions or known[name].repetitions, options.again)
    finally:
        run.stack.down()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())


def _engine_runtime(name: str) -> str:
    """The runtime of the engine whose numbers on a target are gated."""
    target = parse_target(name)
    return load_format(target.format).engine(target).runtime
