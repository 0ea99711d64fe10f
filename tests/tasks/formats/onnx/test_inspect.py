"""External data is believed only inside the artifact's own folder; what the engine needs must be there."""

import os
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("onnxruntime")

onnx = pytest.importorskip("onnx")

from tasks.errors import Corrupt
from tasks.formats.onnx.inspect import check_graph, inspect
from tests.tasks.formats.onnx.toy import VOCABULARY, WIDTH, tamper, write_toy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toy(tmp_path / "artifact", external=True)


def test_a_sound_artifact_reports_its_facts(folder: Path) -> None:
    facts = inspect(folder)
    assert facts["files"] == ["model.onnx", "model.onnx.data"]
    assert facts["opset"] == 21
    assert facts["layers"] == 1
    assert (facts["integer_products"], facts["block_products"]) == (0, 0)
    check_graph(folder / "model.onnx")


def test_hard_links_of_a_cache_are_no_fault(folder: Path, tmp_path: Path) -> None:
    os.link(folder / "model.onnx.data", tmp_path / "blob")
    assert inspect(folder)["files"] == ["model.onnx", "model.onnx.data"]


def test_external_data_elsewhere_is_refused(folder: Path) -> None:
    tamper(folder, "location", "../model.onnx.data")
    with pytest.raises(Corrupt, match="not in the artifact's own folder"):
        inspect(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(Corrupt, match=name):
        inspect(folder)


def test_a_graph_without_its_cache_is_refused(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    del model.graph.output[1:]
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Corrupt, match="do not match its inputs"):
        inspect(folder)


@pytest.mark.parametrize("domain", ["com.microsoft", "com.evil"])
def test_operators_of_one_engine_alone_are_refused(folder: Path, domain: str) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    model.graph.node.append(onnx.helper.make_node("Attention", [], [], domain=domain))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Corrupt, match=rf"uses operators of \['{domain}'\]"):
        inspect(folder)


def block_product(folder: Path, **settings: int) -> None:
    """Replace the output head by a product with weights in blocks."""
    model = onnx.load(str(folder / "model.onnx"))
    node = model.graph.node[-1]
    given = {"K": WIDTH, "N": VOCABULARY, "bits": 8, "block_size": 16, "accuracy_level": 4, **settings}
    node.CopyFrom(
        onnx.helper.make_node(
            "MatMulNBits", ["state", "q", "s"], ["logits"], name="head", domain="com.microsoft", **given
        )
    )
    for name, array in {
        "q": np.zeros((VOCABULARY, 1, 16), np.uint8),
        "s": np.ones((VOCABULARY, 1), np.float32),
    }.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def test_a_graph_that_is_only_partly_quantized_is_refused(folder: Path) -> None:
    """The head is in blocks, and the embedding is in floats."""
    block_product(folder)
    with pytest.raises(Corrupt, match="only partly quantized: the matrix 'embedding' is in floating point"):
        inspect(folder)


def test_a_transpose_does_not_hide_a_matrix_in_floats(folder: Path) -> None:
    block_product(folder)
    model = onnx.load(str(folder / "model.onnx"))
    del model.graph.node[:2]
    model.graph.node.append(onnx.helper.make_node("Transpose", ["embedding"], ["turned"]))
    model.graph.node.append(onnx.helper.make_node("MatMul", ["state", "turned"], ["more"]))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Corrupt, match="the matrix 'turned' is in floating point"):
        inspect(folder)


def test_constants_of_another_shape_than_their_product_are_refused(folder: Path) -> None:
    block_product(folder, N=VOCABULARY + 1)
    with pytest.raises(Corrupt, match=r"the MatMulNBits 'head' has no constant values of the shape \[260, 1, 16\]"):
        inspect(folder)


def test_onnx_itself_finds_a_graph_that_does_not_fit_together(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    model.graph.node[0].input[0] = "nowhere"
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Corrupt, match="checker"):
        check_graph(folder / "model.onnx")
