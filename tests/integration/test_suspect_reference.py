"""A wrong reference, two right artifacts in real engines: nothing is registered, and the release says why."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import Result
from tasks.formats.registry import parse_target
from tasks.release.record import Release
from tasks.runtimes import environments, tools
from tasks.settings import REPOSITORY
from tasks.store.local import LocalStore
from tests.bad_input.snapshots import keep
from tests.fixtures.by_hand import BESIDE_OTHERS, Runs
from tests.fixtures.servers import MlflowServer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

DEMO = REPOSITORY / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"
TEXT = REPOSITORY / "dags" / "recipes" / "texts" / "demo-evaluation.jsonl"
SETTINGS = {"window_tokens": 128, "windows": 4, "generations": 2, "generated_tokens": 8, "long_window_tokens": 0}
TARGETS = ("gguf-f16", "onnx-fp32")
RULE = {"metric": "kld_mean", "maximum": 0.001, "reason": "weights are stored as the source has them"}


def test_nothing_is_registered(mlflow_beside_folder: tuple[MlflowServer, Path], tmp_path: Path) -> None:
    server, root = mlflow_beside_folder
    wrong = tmp_path / "wrong"
    shutil.copytree(DEMO, wrong)
    # As if transformers took another rotary base than the file says.
    config = json.loads((wrong / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] *= 4
    (wrong / "config.json").write_text(json.dumps(config))
    store = LocalStore(root)
    snapshot, misread = keep(store, DEMO).key, keep(store, wrong).key
    home = tmp_path / "home"
    home.mkdir()
    (home / "settings.toml").write_text(BESIDE_OTHERS)
    variables = {"HALLMARK_HOME": str(home), "HALLMARK_STORE": store.url}
    variables |= {"HALLMARK_ENVS": str(environments()), "HALLMARK_TOOLS": str(tools())}
    run = Runs(tmp_path, {**os.environ, **variables, **server.environment()})

    analysis = run.key("analyze", {}, snapshot=snapshot)
    path, digest = str(TEXT.relative_to(REPOSITORY)), hashlib.sha256(TEXT.read_bytes()).hexdigest()
    misreading = run.key("analyze", {}, snapshot=misread)
    text = run.key("text", {"path": path, "sha256": digest})
    inputs = {"snapshot": misread, "analysis": misreading, "evaluation_text": text}
    reference = run.key("reference", {"settings": SETTINGS}, **inputs)
    asked: list[dict[str, Any]] = []
    given: dict[str, str] = {}
    for name in TARGETS:
        target = parse_target(name)
        converted = {"target": target.converted().model_dump(mode="json")}
        measured = {"target": target.measured_by(target.engines[0]).model_dump(mode="json")}
        timing = {**measured, "prompt_tokens": 8, "generated_tokens": 8, "repetitions": 3, "seconds": 0.1}
        artifact = run.key("convert", converted, snapshot=snapshot, analysis=analysis)
        integrity = run.key("compare_weights", converted, artifact=artifact, snapshot=snapshot, analysis=analysis)
        evaluation = run.key("evaluate", measured, artifact=artifact, reference=reference, analysis=analysis)
        benchmark = run.key("benchmark", timing, artifact=artifact, reference=reference)
        judged = {"target": name, "pool": "cpu", "rules": [RULE]}
        keys = {"artifact": artifact, "integrity": integrity, "evaluation": evaluation, "benchmark": benchmark}
        verdict = run.key("gate", judged, **keys)
        given |= {f"{kind}__{name}".replace("-", "_"): key for kind, key in (keys | {"verdict": verdict}).items()}
        asked.append({"target": target.model_dump(mode="json"), "proofs": [{"name": name, "pool": "cpu"}]})
    source = {"repository": "hallmark/misread", "commit": "a" * 40}
    release = run("register", {**source, "recipe": "demo", "run": "manual__misread", "targets": asked}, **given)

    said = "the reference is suspect: gguf-f16 in llama.cpp and onnx-fp32 in onnxruntime agree with each other and not"
    assert release.facts["outcomes"] == dict.fromkeys(TARGETS, "unproven")
    assert all(reason.startswith(said) for reason in release.facts["reasons"].values()), release.facts["reasons"]
    assert release.facts["new_versions"] == []
    (shortcoming,) = release.facts["shortcomings"]
    assert shortcoming.startswith(f"gguf-f16 and onnx-fp32 are required, but unproven: {said}")
    record = Release.from_json(_file(root, release, "release.json"))
    assert record.passed == ()


def _file(root: Path, result: Result, name: str) -> str:
    (found,) = (root / "artifacts" / str(result.artifact)).glob(f"*/{name}")
    return found.read_text()
