"""Write the golden files of today's records: `python -m tests.golden.make FOLDER`, in the runtime `dev`.

Nothing in them is invented: each is what a task wrote into a store in a release of the demo model. Two releases of one
target are made, the second with smaller shards, so that what is champion has something before it. Then the second is
rolled back.

A golden file is never changed. Run this when a record gets a new version, and add what it writes as `vN` beside what is
there. FOLDER gets one file for each record of `PLACES`, named KIND/NAME.json.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.formats.base import Target
from tasks.formats.registry import parse_target
from tasks.model import json_text
from tasks.plan.controls import control_of
from tasks.pools import declared_pools
from tasks.runtimes import environments, runtime
from tasks.settings import REPOSITORY
from tests.fixtures.by_hand import Runs
from tests.fixtures.servers import free_port, running

MODEL = "hallmark/tiny-tales"
TARGET, UNPROVEN, FAILED, SKIPPED = "safetensors-bf16", "unproven-bf16", "gguf-q2_k", "onnx-int8"
POOL, ABSENT = "cpu", "gpu-l4"
CALIBRATED = "gguf-q4_0"
TEXT, CALIBRATION = (f"dags/recipes/texts/demo-{kind}.jsonl" for kind in ("evaluation", "calibration"))
SETTINGS = {"window_tokens": 32, "windows": 8, "generations": 2, "generated_tokens": 8}
LONG, CASES = {"parity": ("cases",), "generations": ("questions",), "served": ("prompts", "continuations")}, 4
"""Lists of which a golden file keeps only the first cases: they show the form as well as a thousand."""

KIND = {"metric": "kld_mean", "maximum": 0.05, "reason": "beyond this it is noticeably another model"}
BOUND = {name: KIND[name] for name in ("metric", "maximum")}
STRICT = {"metric": "kld_mean", "maximum": 1e-9, "reason": "a bound that no rounding to bf16 can hold"}


def main() -> int:
    """Write the golden files into the folder that is named."""
    into = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, _servers(Path(folder)) as environment:
        _release(Runs(Path(folder), environment), Path(folder) / "store", into)
    return 0


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, str]]:
    """Start a Hub mirror and MLflow; yield the environment of tasks that use them and a store in a folder."""
    hub, mlflow = free_port(), free_port()
    mirror = [str(runtime("stack").python), "-m", "deploy.local.hub_mirror", "--port", str(hub)]
    mirror += ["--root", str(REPOSITORY / "deploy" / "demo" / "hub"), "--access-log", str(folder / "hub.log")]
    registry = [str(runtime("mlflow").python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow)]
    registry += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    registry += ["--artifacts-destination", f"file://{folder}/store/mlflow"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (
        running(mirror, {}, f"http://127.0.0.1:{hub}/healthz", folder / "hub-server.log"),
        running(registry, quiet, f"http://127.0.0.1:{mlflow}/health", folder / "mlflow-server.log"),
    ):
        yield {
            **os.environ,
            "HALLMARK_ENVS": str(environments()),
            "HALLMARK_HOME": str(folder / "home"),
            "HALLMARK_STORE": f"file://{folder}/store",
            "HF_ENDPOINT": f"http://127.0.0.1:{hub}",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
        }


def _release(run: Runs, store: Path, into: Path) -> None:
    pinned = run("pin", {"repository": MODEL, "revision": "main", "licences": ["*"]}).facts
    source = {"repository": pinned["repository"], "commit": pinned["commit"]}
    snapshot = run.key("fetch", source)
    scan = run.key("scan", source, snapshot=snapshot)
    analysis = run.key("analyze", {}, snapshot=snapshot)
    digest = hashlib.sha256((REPOSITORY / TEXT).read_bytes()).hexdigest()
    text = run.key("text", {"path": TEXT, "sha256": digest})
    reference = run.key("reference", {"settings": SETTINGS}, snapshot=snapshot, analysis=analysis, evaluation_text=text)
    asked = (parse_target(TARGET, {"on": [POOL, ABSENT]}), parse_target(SKIPPED))
    targets = [target.model_dump(mode="json") for target in asked]
    chosen = {
        "targets": targets,
        "chosen": [TARGET],
        "disk_bytes": 10**10,
        "text_bytes": (REPOSITORY / TEXT).stat().st_size,
    }
    chosen["pools"] = [pool.model_dump(mode="json") for pool in declared_pools()]
    plan = run.key("preflight", chosen, analysis=analysis)
    for kind, key in (("scan", scan), ("plan", plan), ("analysis", analysis)):
        _keep(into / kind / "demo-model.json", _file(store, key, f"{kind}.json"))
    for kind in ("reference", "generations", "parity", "chats", "served"):
        _keep(into / kind / "demo-model.json", _file(store, reference, f"{kind}.json"))
    _keep(into / "manifest" / "snapshot.json", store / "artifacts" / f"{snapshot}.json")
    keep_control(run, store, into, (snapshot, analysis, reference))
    for name, options in (("first", {}), ("second", {"shard_size_mb": 2})):
        _one_release(
            run, store, into, name, source | {"licence": pinned["licence"]}, options, (snapshot, analysis, reference)
        )
    run("roll_back", {"repository": MODEL, "release": "manual__second"})
    _keep(into / "current" / "rolled-back.json", _current(store))


def _one_release(
    run: Runs,
    store: Path,
    into: Path,
    name: str,
    source: Mapping[str, Any],
    options: Mapping[str, Any],
    made: tuple[str, str, str],
) -> None:
    target = parse_target(TARGET, dict(options))
    seen = _measured(run, target, made)
    artifact, evaluation, benchmark = (seen[kind] for kind in ("artifact", "evaluation", "benchmark"))
    judged = {"target": TARGET, "pool": POOL, "rules": [KIND]}
    verdict = run.key("gate", judged, **seen)
    # No target of this format has a base, so the base that was not proven is named by hand.
    base = {"target": "base", "verdict": "base:base", "failure": "evaluate: planted"}
    blocked = run.key("gate", {**judged, "rules": [KIND, STRICT], "bases": [base]}, **seen)
    value = json.loads(_file(store, evaluation, "evaluation.json").read_text())["metrics"]["kld_mean"]["value"]
    close = {**KIND, "maximum": value, "reason": "a bound that lies exactly on the number"}
    undecided = run.key("gate", {**judged, "rules": [KIND, close]}, **seen)
    given = _inputs(TARGET, {**seen, "verdict": verdict})
    targets: list[Any] = [{"target": target.model_dump(mode="json"), "proofs": [{"name": TARGET, "pool": POOL}]}]
    skipped = {"target": parse_target(SKIPPED).model_dump(mode="json"), "required": False, "skipped": "not chosen"}
    targets.append(skipped)
    if name == "first":
        # A recipe's last release in `current.json` is one in which nothing failed: the second.
        failed = parse_target(FAILED).model_dump(mode="json")
        targets.append({"target": failed, "required": False, "failure": "convert: planted"})
        both = parse_target(TARGET, {"as": UNPROVEN, "on": [POOL, ABSENT]})
        also = _measured(run, both, made)
        also["verdict"] = run.key("gate", {**judged, "target": UNPROVEN}, **also)
        given |= {**_inputs(f"{UNPROVEN}.{POOL}", also), **_inputs(UNPROVEN, {"artifact": also["artifact"]})}
        proofs = [
            {"name": f"{UNPROVEN}.{POOL}", "pool": POOL},
            {"name": f"{UNPROVEN}.{ABSENT}", "pool": ABSENT, "obstacle": "planted"},
        ]
        targets.append({"target": both.model_dump(mode="json"), "required": False, "proofs": proofs})
    parameters = {**source, "recipe": "demo", "run": f"manual__{name}", "targets": targets}
    registered = run("register", parameters, **given)
    assert registered.artifact is not None
    run("promote", {}, release=registered.artifact)
    _keep(into / "manifest" / f"artifact-{name}.json", store / "artifacts" / f"{artifact}.json")
    _keep(into / "evaluation" / f"{name}.json", _file(store, evaluation, "evaluation.json"))
    _keep(into / "windows" / f"{name}.json", _file(store, evaluation, "windows.json"))
    _keep(into / "integrity" / f"{name}.json", _file(store, seen["integrity"], "integrity.json"))
    _keep(into / "benchmark" / f"{name}.json", _file(store, benchmark, "benchmark.json"))
    _keep(into / "verdict" / f"passed-{name}.json", _file(store, verdict, "verdict.json"))
    _keep(into / "verdict" / f"blocked-{name}.json", _file(store, blocked, "verdict.json"))
    _keep(into / "verdict" / f"undecided-{name}.json", _file(store, undecided, "verdict.json"))
    _keep(into / "release" / f"{name}.json", store / registered.facts["release"])
    _keep(into / "current" / f"{name}.json", _current(store))


def keep_control(run: Runs, store: Path, into: Path, made: tuple[str, str, str]) -> None:
    """Keep what the control of a calibrated target has shown."""
    snapshot, analysis, reference = made
    digest = hashlib.sha256((REPOSITORY / CALIBRATION).read_bytes()).hexdigest()
    text = run.key("text", {"path": CALIBRATION, "sha256": digest})
    target = parse_target(CALIBRATED)
    control = control_of(target, [])
    assert control

    def convert(asked: Target, **inputs: str) -> str:
        return run.key("convert", {"target": asked.model_dump(mode="json")}, **inputs)

    f16 = convert(parse_target("gguf-f16"), snapshot=snapshot, analysis=analysis)
    imatrix = convert(parse_target("gguf-imatrix"), gguf_f16=f16, calibration=text)
    plain, artifact = convert(control, gguf_f16=f16), convert(target, gguf_f16=f16, gguf_imatrix=imatrix)
    measured = {"target": target.measured_by(target.engines[0]).model_dump(mode="json")}
    given = {"artifact": artifact, "reference": reference}
    evaluation = run.key("evaluate", measured, analysis=analysis, **given)
    key = run.key("compare_control", measured, control=plain, evaluation=evaluation, **given)
    _keep(into / "control" / "demo-model.json", _file(store, key, "control.json"))


def _measured(run: Runs, target: Target, made: tuple[str, str, str]) -> dict[str, str]:
    """Return the keys of a target's artifact and of its measurements."""
    snapshot, analysis, reference = made
    converted = {"target": target.converted().model_dump(mode="json")}
    artifact = run.key("convert", converted, snapshot=snapshot, analysis=analysis)
    integrity = run.key("compare_weights", converted, artifact=artifact, snapshot=snapshot, analysis=analysis)
    measured = {"target": target.measured_by(target.engines[0]).model_dump(mode="json")}
    bounded = {**measured, "bounds": [BOUND]}
    evaluation = run.key("evaluate", bounded, artifact=artifact, reference=reference, analysis=analysis)
    timing = {**measured, "prompt_tokens": 8, "generated_tokens": 8, "repetitions": 3, "seconds": 0.1}
    benchmark = run.key("benchmark", timing, artifact=artifact, reference=reference)
    return {"artifact": artifact, "integrity": integrity, "evaluation": evaluation, "benchmark": benchmark}


def _current(store: Path) -> Path:
    return store / "releases" / MODEL.replace("/", "--") / "current.json"


def _inputs(name: str, keys: Mapping[str, str]) -> dict[str, str]:
    return {f"{kind}__{name}".replace("-", "_"): key for kind, key in keys.items()}


def _file(store: Path, key: str, name: str) -> Path:
    (found,) = (store / "artifacts" / key).glob(f"*/{name}")
    return found


def _keep(golden: Path, record: Path) -> None:
    golden.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(record.read_text(encoding="utf-8"))
    for name in LONG.get(golden.parent.name, ()):
        content[name] = content[name][:CASES]
    golden.write_text(json_text(content), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
