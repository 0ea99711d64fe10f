"""Runs single tasks of the measured tree as the operator does: a spec, a process of the task's runtime, a result."""

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.places import MODEL, Places, python, task_variables
from bench.stack import Stack
from tasks.contract import Result
from tasks.definitions import find_definition
from tasks.formats.base import SOURCE, Target
from tasks.formats.registry import load_format, parse_target
from tasks.host.facts import host_facts
from tasks.pools import timing_threads
from tasks.recipe import Recipe, load_recipe
from tasks.store.artifacts import read_manifest
from tasks.store.cache import WorkerCache
from tasks.store.open import open_store

SOURCES = {"snapshot": "fetch", "analysis": "analyze", "calibration": "calibration"}


@dataclass
class Ours:
    """The release's tasks, each called by name; what an input needs is made first, or found done.

    home: the worker's own folder, with its cache.
    """

    places: Places
    stack: Stack
    home: Path
    done: dict[str, Result] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The recipe `bench`."""
        return load_recipe(self.places.tree / "dags" / "recipes" / "bench.yaml")

    def run(self, name: str, force: bool = False) -> Result:
        """Run one task: `fetch`, `reference`, `convert:TARGET` ...; raises RuntimeError as it fails."""
        if name in self.done and not force:
            return self.done[name]
        task, _, target = name.partition(":")
        parameters, inputs = self._spec(task, target)
        keys = {given: self.run(maker).artifact for given, maker in inputs.items()}
        threads = timing_threads(host_facts().cores) if task == "benchmark" else 1
        spec = {
            "task": _TASKS.get(task, task),
            "parameters": parameters,
            "inputs": keys,
            "threads": threads,
            "force": force,
        }
        self.done[name] = self._start(name, spec)
        return self.done[name]

    def folder(self, name: str) -> Path:
        """Return the files of what a task made, through the worker cache."""
        made = self.run(name).artifact
        assert made is not None
        os.environ.update(self.stack.variables)
        store = open_store()
        return WorkerCache(self.home / "cache", host_facts().cache_bytes).materialize(store, read_manifest(store, made))

    def _start(self, name: str, spec: dict[str, Any]) -> Result:
        folder = self.places.root / "specs"
        folder.mkdir(exist_ok=True)
        given, told = folder / f"{name.replace(':', '-')}.json", folder / f"{name.replace(':', '-')}-result.json"
        given.write_text(json.dumps(spec))
        definition = find_definition(spec["task"], spec["parameters"])
        environment = self.places.environment(self.home) | task_variables(spec["threads"]) | self.stack.variables
        done = subprocess.run(
            [python(definition.runtime), "-m", "tasks", spec["task"], given, "--result", told],
            cwd=self.places.tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"The task {name} failed:\n{done.stderr[-3000:]}")
        return Result.from_json(told.read_bytes())

    def _spec(self, task: str, target: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Return a task's parameters, and its inputs by the tasks that make them."""
        if task in ("calibration", "evaluation-text"):
            path = self._text(task)
            digest = _sha256(self.places.tree / path)
            return {"path": path.as_posix(), "sha256": digest}, {}
        if task == "pin":
            return {"repository": MODEL, "revision": "main", "licences": list(self.recipe.licences)}, {}
        if task == "fetch":
            pinned = self.run("pin").facts
            return {"repository": pinned["repository"], "commit": pinned["commit"]}, {}
        if task == "analyze":
            return {}, {"snapshot": "fetch"}
        if task == "reference":
            settings = self.recipe.evaluation.settings.model_dump()
            inputs = {"snapshot": "fetch", "analysis": "analyze", "evaluation-text": "evaluation-text"}
            return {"settings": settings, "questions": self.recipe.questions}, inputs
        described = self._target(target)
        named = {"target": described.model_dump(mode="json")}
        if task == "convert":
            return named, {given: SOURCES.get(given, f"convert:{given}") for given in described.requires}
        artifact = {"artifact": f"convert:{target}"}
        if task == "compare_weights":
            bases = [name for name in load_format(described.format).tensors.bases if name in described.requires]
            return named, artifact | {given: SOURCES.get(given, f"convert:{given}") for given in (*SOURCE, *bases)}
        if task == "evaluate":
            # Without bounds all windows are compared, as the script does.
            artifact |= {"analysis": "analyze", "integrity": f"compare_weights:{target}"}
        return named, artifact | {"reference": "reference"}

    def _target(self, name: str) -> Target:
        known = {target.name: target for target in self.recipe.targets}
        return known.get(name) or parse_target(name)

    def _text(self, task: str) -> Path:
        kind = "calibration" if task == "calibration" else "evaluation"
        return Path("dags", "recipes", "texts", f"bench-{kind}.jsonl")


_TASKS = {"calibration": "text", "evaluation-text": "text"}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
