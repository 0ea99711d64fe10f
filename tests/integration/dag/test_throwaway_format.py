"""A format needs one folder and one line: with them alone, a recipe that names it goes all the way to the registry."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.release.record import read_release
from tasks.settings import REPOSITORY
from tasks.store.local import LocalStore
from tests.integration.dag.conftest import DagRunner

pytestmark = [pytest.mark.stack, pytest.mark.servers]

TOY = REPOSITORY / "tests" / "integration" / "dag" / "toy_format"
TARGET = "zip-checkpoint-bf16"
LINE = '    "zip-checkpoint": "tasks.formats.zipped.target:FORMAT",\n'
DEMO = REPOSITORY / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"
OPEN = """

def open_engine(folder: Path, threads: int) -> TransformersEngine:
    \"\"\"Unpack the archive and open the checkpoint in it.\"\"\"
    import tempfile
    import zipfile

    with tempfile.TemporaryDirectory() as unpacked:
        zipfile.ZipFile(folder / "model.zip").extractall(unpacked)
        return TransformersEngine(Path(unpacked), threads)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the product with the toy's folder and its line in the registry, and nothing else changed."""
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY, text=True
    )
    copy = tmp_path / "tree"
    for name in listed.splitlines():
        if (REPOSITORY / name).is_file() and not name.startswith(("tests/fuzz/", "bench/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, copy / name)
    folder = copy / "tasks" / "formats" / "zipped"
    shutil.copytree(TOY, folder)
    engine = (REPOSITORY / "tasks" / "engines" / "transformers" / "serving.py").read_text()
    (folder / "serving.py").write_text(engine.partition("\ndef open_engine(")[0].rstrip() + "\n" + OPEN)
    registry = copy / "tasks" / "formats" / "registry.py"
    before, opening, after = registry.read_text().partition("FORMATS = {\n")
    registry.write_text(before + opening + LINE + after)
    return copy


def test_a_folder_and_a_line_make_a_format(
    dag_runner: DagRunner, tree: Path, hub_mirror: Any, mlflow_beside_folder: Any, tmp_path: Path
) -> None:
    server, root = mlflow_beside_folder
    hub_mirror.add("acme/toy", {path.name: path for path in DEMO.iterdir() if path.is_file()})
    recipe = yaml.safe_load((REPOSITORY / "tests" / "integration" / "dag" / "small.yaml").read_text())
    again = {TARGET: {"as": "zipped-again"}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump({**recipe, "targets": [TARGET, again]}))
    dag_runner.environment |= {
        "HALLMARK_STORE": f"file://{root}",
        "HALLMARK_TEST_RECIPE": str(tmp_path / "toy.yaml"),
        "AIRFLOW_CONN_HALLMARK_MLFLOW": json.dumps({"conn_type": "http", "host": server.url}),
    }
    (ended,) = dag_runner.of_tree(tree).release({"model": "acme/toy", "targets": [TARGET, "zipped-again"]})
    assert ended.state == "success", ended.failure
    assert ended.facts("register")["outcomes"] == {TARGET: "passed", "zipped-again": "passed"}
    assert len(ended.facts("promote")["promoted"]) == 2
    store = LocalStore(root)
    released = {target.target: target for target in read_release(store, ended.facts("register")["release"]).passed}
    assert 0 < released[TARGET].metrics["kld_mean"].value < 0.01
    assert 16 < released[TARGET].metrics["bits_per_weight"].value < 18
    assert released[TARGET].metrics["decode_tokens_per_second"].value > 1
    page = store.get_bytes(ended.facts("report")["report"]).decode()
    assert TARGET in page and "python -m zipfile -e zipped-again/model.zip checkpoint" in page
