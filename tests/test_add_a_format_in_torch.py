"""The example of docs/add-a-format.md converts a tiny model, and both its engines run it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import tiny_checkpoint
from tests.fixtures.page_example import example_tree

pytestmark = pytest.mark.runtime("torch")

TRY = """
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tasks.engines.text_model import TextModel
from tasks.engines.widened.runner import open_runner
from tasks.engines.widened.serving import open_engine
from tasks.errors import Corrupt
from tasks.formats.base import ConvertParameters
from tasks.formats.fp16.convert import convert
from tasks.formats.registry import parse_target
from tasks.proving.opening import open_artifact
from tasks.source.analyze import analyze
from tasks.source.parameters import AnalyzeParameters


@dataclass
class Context:
    folders: dict
    output: Path
    scratch: Path
    inputs: dict
    threads: int = 1
    versions: dict = field(default_factory=dict)

    def materialize(self, name):
        return self.folders[name]

    def progress(self, message, fraction=None):
        pass

    def version(self, tool, version):
        self.versions[tool] = version


def context_of(name, **folders):
    inputs = {given: SimpleNamespace(facts={}) for given in folders}
    context = Context(folders, root / name, root / f"{name}-scratch", inputs)
    context.output.mkdir(parents=True)
    return context


snapshot, root = Path(sys.argv[1]), Path(sys.argv[2])
analysis = context_of("analysis", snapshot=snapshot)
analyze(AnalyzeParameters(), analysis)
bytes_of = []
for name, options in (("one", {}), ("again", {}), ("norms", {"keep_norms": True})):
    context = context_of(name, snapshot=snapshot, analysis=analysis.output)
    target = parse_target("fp16-checkpoint", options)
    facts = convert(ConvertParameters(target=target), context)
    assert facts["dtypes"].get("F32", 0) == (5 if options else 0), facts
    assert {"torch", "transformers"} <= set(context.versions)
    files = [path for path in context.output.rglob("*") if path.is_file()]
    bytes_of.append({str(path.relative_to(context.output)): path.read_bytes() for path in files})
assert bytes_of[0] == bytes_of[1]
assert "MLmodel" in bytes_of[0]

folder = root / "one"
ids = [2, 3, 5, 8, 13]
served = open_artifact(parse_target("fp16-checkpoint"), folder, 1)
widened = open_runner(folder, 1)
for runner in (served, widened):
    rows = np.concatenate([block.copy() for block in runner.logits(ids)])
    assert rows.shape == (5, runner.vocabulary_size) and rows.dtype == np.float32
    assert runner.detokenize(runner.tokenize("Mira keeps")) == "Mira keeps"
    assert len(runner.generate(ids, 4).token_ids) == 4
    assert "hello" in runner.render_chat([{"role": "user", "content": "hello"}], True)
expected = open_runner(snapshot, 1)
first, second = (np.concatenate([block.copy() for block in one.logits(ids)]) for one in (widened, expected))
difference = first - second
assert 0 < np.abs(difference).max() < 0.1, np.abs(difference).max()
assert isinstance(TextModel(open_engine(folder, 1)).complete("Mira", max_tokens=4), str)
for wrong in (b"", (folder / "model.safetensors").read_bytes()[:100]):
    (root / "norms" / "model.safetensors").write_bytes(wrong)
    try:
        open_artifact(parse_target("fp16-checkpoint"), root / "norms", 1)
    except Corrupt:
        continue
    raise AssertionError("a damaged artifact was opened")
"""


def test_the_example_converts_is_read_back_and_runs(tmp_path: Path) -> None:
    tree = example_tree(tmp_path / "tree")
    snapshot = tiny_checkpoint.write_checkpoint(tmp_path / "snapshot")
    environment = {**os.environ, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
    command: list[str | Path] = [sys.executable, "-c", TRY, snapshot, tmp_path / "made"]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
