from pathlib import Path

import pytest

from tasks.errors import Unmeasured
from tasks.evaluation.size import measure_size
from tests.fixtures.context import manifest_of


def test_size_counts_the_files_that_an_engine_loads_and_nothing_else(tmp_path: Path) -> None:
    for name, size in {
        "model.a": 10, "model.a.data": 20, "b/model-00001-of-00002.a": 70,
        "tokenizer.json": 1000, "MLmodel": 1000, "model.a.index.json": 1000,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    metrics = measure_size(manifest_of(tmp_path), ("*.a", "*.a.data"), 50)
    assert (metrics["size_bytes"].value, metrics["bits_per_weight"].value) == (100, 16)


def test_an_artifact_without_weights_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Unmeasured, match="no file of weights"):
        measure_size(manifest_of(tmp_path), ("*.a", "*.a.data"), 50)
