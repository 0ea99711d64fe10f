"""A value is used if an output depends on it, also through a subgraph."""

import pytest

pytestmark = pytest.mark.runtime("onnxruntime")

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper

from tasks.formats.onnx.used_names import used_names


def test_only_what_an_output_depends_on_is_used() -> None:
    inner = helper.make_graph(
        [helper.make_node("Add", ["captured", "deep"], ["sum"]), helper.make_node("Neg", ["sum"], ["then"])],
        "inner",
        [],
        [helper.make_tensor_value_info("then", TensorProto.FLOAT, [1])],
    )
    nodes = [
        helper.make_node("Mul", ["x", "weight"], ["product"]),
        helper.make_node("Mul", ["x", "dead"], ["lost"]),
        helper.make_node("Neg", ["lost"], ["lost too"]),
        helper.make_node("If", ["product"], ["y"], then_branch=inner, else_branch=inner),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    found = used_names(helper.make_model(helper.make_graph(nodes, "toy", [], [output])))
    assert found == {"y", "product", "captured", "deep", "sum", "x", "weight"}
