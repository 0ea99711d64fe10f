"""External data is believed only inside the artifact's own folder, wherever in the graph it is named."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("onnxruntime")

onnx = pytest.importorskip("onnx")

from onnx import NodeProto, TensorProto, helper, numpy_helper

from tasks.errors import Corrupt
from tasks.formats.onnx.external_data import external_files, nodes, read_graph, tensors, text_of
from tests.tasks.formats.onnx.toy import tamper, write_toy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toy(tmp_path / "artifact", external=True)


def test_a_sound_graph_is_read_without_its_data(folder: Path) -> None:
    model = read_graph(folder / "model.onnx")
    assert external_files(model) == ["model.onnx.data"]
    assert not any(tensor.raw_data for tensor in tensors(model) if tensor.name in ("embedding", "positions", "head"))
    (folder / "model.onnx.data").unlink()
    assert external_files(read_graph(write_toy(folder.parent / "inline") / "model.onnx")) == []


@pytest.mark.parametrize(
    "location",
    ["../model.onnx.data", "/etc/passwd", "sub/model.onnx.data", "..", ".", "", "C:secret", "a\\b", "a\nb", "ä" * 128],
)
def test_external_data_elsewhere_is_refused(folder: Path, location: str) -> None:
    """Also where such a file exists, so that only the check of the name can see it."""
    if "/" in location and not location.startswith("/"):
        (folder / location).parent.mkdir(exist_ok=True)
        (folder / location).write_bytes((folder / "model.onnx.data").read_bytes())
    tamper(folder, "location", location)
    with pytest.raises(Corrupt, match="tensor 'embedding' lies in .*, which is not in the artifact's own folder"):
        read_graph(folder / "model.onnx")


def test_external_data_that_is_missing_is_refused(folder: Path) -> None:
    tamper(folder, "location", "gone.data")
    with pytest.raises(Corrupt, match=r"tensor 'embedding' lies in 'gone\.data', which is missing"):
        read_graph(folder / "model.onnx")


def test_external_data_behind_a_symbolic_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.onnx.data").rename(tmp_path / "outside")
    (folder / "model.onnx.data").symlink_to(tmp_path / "outside")
    with pytest.raises(Corrupt, match="symbolic link"):
        read_graph(folder / "model.onnx")


@pytest.mark.parametrize(("key", "value"), [("offset", "-1"), ("length", "99999999"), ("length", "many")])
def test_external_data_beyond_its_file_is_refused(folder: Path, key: str, value: str) -> None:
    # The second tensor has an offset other than 0, which is the default and would not be written.
    tamper(folder, key, value, tensor=1)
    with pytest.raises(Corrupt, match="'positions'"):
        read_graph(folder / "model.onnx")


def test_a_subgraph_cannot_hide_external_data(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    hidden = TensorProto(name="hidden", data_type=1, dims=[1], data_location=1)
    hidden.external_data.add(key="location", value="../x")
    branch = onnx.helper.make_graph([], "branch", [], [], [hidden])
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Corrupt, match="'hidden'"):
        read_graph(folder / "model.onnx")


def test_bytes_that_are_no_graph_are_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(Corrupt, match="not an ONNX graph"):
        read_graph(folder / "model.onnx")


def test_a_length_that_is_not_given_means_the_rest_of_the_file(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    (entry,) = (entry for entry in model.graph.initializer[0].external_data if entry.key == "length")
    model.graph.initializer[0].external_data.remove(entry)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    assert external_files(read_graph(folder / "model.onnx")) == ["model.onnx.data"]


def test_every_place_of_a_graph_is_searched() -> None:
    """Initializers, attributes, sparse tensors, subgraphs, and functions with subgraphs of their own."""

    def tensor(name: str) -> TensorProto:
        return numpy_helper.from_array(np.zeros(1, np.float32), name)

    def constant(name: str) -> NodeProto:
        return helper.make_node("Constant", [], [name], value=tensor(name))

    sparse = helper.make_sparse_tensor(tensor("values"), numpy_helper.from_array(np.array([0]), "indices"), [3])
    inner = helper.make_graph([constant("inner")], "inner", [], [], [tensor("hidden")])
    outer = helper.make_graph([helper.make_node("If", ["c"], ["d"], then_branch=inner)], "outer", [], [])
    branches = helper.make_node("If", ["c"], ["d"], then_branch=outer)
    listed = helper.make_node("Listed", [], ["e"], tensors=[tensor("one"), tensor("two")])
    function = helper.make_function("own", "F", [], ["x"], [constant("of function"), branches], [])
    graph = helper.make_graph([listed], "toy", [], [], [tensor("top")], sparse_initializer=[sparse])
    model = helper.make_model(graph, functions=[function])
    found = [one.name for one in tensors(model) if one.name]
    assert sorted(found) == sorted(["top", "values", "indices", "one", "two", "of function", "hidden", "inner"])
    assert [node.op_type for node in nodes(model)].count("If") == 2


def test_a_text_that_is_not_utf_8_is_readable() -> None:
    assert (text_of("a"), text_of(b"a\xff")) == ("a", "a\\xff")
