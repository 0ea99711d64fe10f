"""The format and the engine of docs/add-a-format.md, added as the page says, go from a recipe to the registry."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.release.record import read_release
from tasks.settings import REPOSITORY
from tasks.store.local import LocalStore
from tests.fixtures.page_example import example_tree
from tests.integration.dag.conftest import HERE, DagRunner
from tests.integration.dag.test_release import DEMO, MODEL

pytestmark = [pytest.mark.stack, pytest.mark.servers]

TARGET, VARIANT = "fp16-checkpoint", "fp16-norms"
EXISTING = "from tasks.engines.transformers.engine import ENGINE as TRANSFORMERS\n"
NEW = "from tasks.engines.widened.engine import ENGINE as WIDENED\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the product with the page's folders and its line in the registry, and nothing else changed."""
    tree = example_tree(tmp_path / "tree")
    shutil.copytree(REPOSITORY / HERE, tree / HERE, ignore=shutil.ignore_patterns("__pycache__"))
    target = tree / "tasks" / "formats" / "fp16" / "target.py"
    text = target.read_text()
    assert "engines=(TRANSFORMERS,)" in text and EXISTING in text
    target.write_text(text.replace(EXISTING, EXISTING + NEW).replace("(TRANSFORMERS,),", "(WIDENED, TRANSFORMERS),"))
    return tree


def test_a_folder_and_a_line_make_a_format(
    dag_runner: DagRunner, tree: Path, hub_mirror: Any, mlflow_beside_folder: Any, tmp_path: Path
) -> None:
    server, root = mlflow_beside_folder
    # With the model of the other releases into this folder, the reference that they measured is reused.
    hub_mirror.add(MODEL, {path.name: path for path in DEMO.iterdir() if path.is_file()})
    recipe = yaml.safe_load((REPOSITORY / HERE / "small.yaml").read_text())
    targets = [TARGET, {TARGET: {"as": VARIANT, "keep_norms": True}}]
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump({**recipe, "targets": targets}))
    dag_runner.environment |= {
        "HALLMARK_STORE": f"file://{root}",
        "HALLMARK_TEST_RECIPE": str(tmp_path / "toy.yaml"),
        "AIRFLOW_CONN_HALLMARK_MLFLOW": json.dumps({"conn_type": "http", "host": server.url}),
    }
    (ended,) = dag_runner.of_tree(tree).release({"model": MODEL, "targets": [TARGET, VARIANT]})
    assert ended.state == "success", ended.failure
    assert ended.facts("register")["outcomes"] == {TARGET: "passed", VARIANT: "passed"}
    assert len(ended.facts("promote")["promoted"]) == 2
    store = LocalStore(root)
    released = {target.target: target for target in read_release(store, ended.facts("register")["release"]).passed}
    plain, variant = (released[name].metrics for name in (TARGET, VARIANT))
    # It is measured in the new engine, which computes in float32: only the weights are rounded.
    assert ended.facts(f"{TARGET}.evaluate")["engine"].startswith("widened ")
    assert 0 < plain["kld_mean"].value < 0.01
    assert all(16 <= metrics["bits_per_weight"].value < 17 for metrics in (plain, variant))
    assert released[TARGET].files_digest != released[VARIANT].files_digest, "the option of the variant counts"
    assert plain["decode_tokens_per_second"].value > 1
    page = store.get_bytes(ended.facts("report")["report"]).decode()
    assert TARGET in page and VARIANT in page and "transformers, from Python" in page
