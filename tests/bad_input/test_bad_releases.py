"""From the Hub to the scan, each task as the process that Airflow starts: hostile sources end there and run nothing."""

import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import Result, Spec
from tasks.manifest import Manifest
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tasks.store.local import LocalStore
from tests.bad_input.planting import PLAIN, WEIGHTS, config, entry, header, raw, split, template, then, without
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.servers import HubMirror

HANG_SECONDS = 240
"""Far more than any of these takes on a busy machine."""

TERMINAL = 65


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


CASES: dict[str, tuple[Callable[[Path], Callable[[Path], object]], str, str]] = {
    "header": (
        lambda trace: header({"v": entry(), "w": entry(data_offsets=[2, 6])}, bytes(6)),
        "Corrupt",
        f"{WEIGHTS}: tensor 'w' overlaps the one before it",
    ),
    "template": (
        lambda trace: template(f"{{{{ cycler.__init__.__globals__.os.system('touch {trace}') }}}}" + PLAIN),
        "Refused",
        "tokenizer_config.json: the chat template 'default' tries to leave its sandbox",
    ),
    "pattern": (
        lambda trace: split("^(([a-zA-Z ]+)+)+9$"),
        "Corrupt",
        "tokenizer.json does not tokenize plain text",
    ),
    "code": (
        lambda trace: then(
            config(auto_map={"AutoConfig": "configuration_x.Config"}),
            raw("configuration_x.py", f"open({str(trace)!r}, 'w')\n"),
        ),
        "Refused",
        "config.json: auto_map names code of the repository (configuration_x.Config)",
    ),
    "pickle": (
        lambda trace: then(without(WEIGHTS), raw("pytorch_model.bin", pickle.dumps(Evil(trace), 2))),
        "Refused",
        "pytorch_model.bin does not load as plain tensors",
    ),
    "pickle as safetensors": (
        lambda trace: raw(WEIGHTS, pickle.dumps(Evil(trace))),
        "Corrupt",
        f"{WEIGHTS}: its header claims",
    ),
}


@pytest.mark.servers
@pytest.mark.parametrize("case", CASES)
def test_it_ends_at_the_scan(hub_mirror: HubMirror, tmp_path: Path, case: str) -> None:
    plant, error, message = CASES[case]
    trace, store = tmp_path / "trace", LocalStore(tmp_path / "store")
    folder = make_checkpoint(tmp_path / "checkpoint")
    plant(trace)(folder)
    repository = f"hostile/{case.replace(' ', '-')}"
    hub_mirror.add(repository, {path.name: path.read_bytes() for path in folder.iterdir()})

    def task(name: str, inputs: dict[str, str] | None = None, **parameters: Any) -> tuple[int, Result, str]:
        spec, result = tmp_path / f"{name}.json", tmp_path / f"{name}-result.json"
        spec.write_text(Spec(task=name, parameters=parameters, inputs=inputs or {}).to_json())
        done = subprocess.run(
            [runtime("torch" if name == "scan" else "control").python, "-m", "tasks", name, spec, "--result", result],
            cwd=REPOSITORY,
            env={**os.environ, "HALLMARK_HOME": str(tmp_path / "home"), "HALLMARK_STORE": store.url},
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
        )
        return done.returncode, Result.from_json(result.read_text()), done.stderr

    _, pinned, _ = task("pin", repository=repository, licences=["apache-2.0"], pickles="convert")
    source = {"repository": repository, "commit": pinned.facts["commit"]}
    _, fetched, _ = task("fetch", **source)
    assert fetched.artifact
    status, scanned, said = task("scan", {"snapshot": fetched.artifact}, **source, pickles="convert")

    assert scanned.failure and (status, scanned.failure.kind, scanned.failure.error) == (TERMINAL, "terminal", error)
    assert message in scanned.failure.message and scanned.artifact is None
    assert said.splitlines()[-1] == f"{error}: {scanned.failure.message}" and "Traceback" not in said
    assert not trace.exists()
    manifests = [item.name for item in store.list("artifacts/") if item.name.count("/") == 1]
    assert [Manifest.from_json(store.get_bytes(name)).kind for name in manifests] == ["fetch"]
