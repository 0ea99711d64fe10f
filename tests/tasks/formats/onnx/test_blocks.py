"""The layout of `onnx-int8`, read by hand; and constants that contradict it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("onnxruntime")

onnx = pytest.importorskip("onnx")

from onnx import NodeProto, TensorProto, helper, numpy_helper

from tasks.formats.onnx.blocks import DOMAIN, LOOK_UP, PRODUCT, BlockedMatrix, dequantize_blocks, fault, unsqueezed

ROWS, COLUMNS, SIZE = 3, 40, 32


def test_an_element_is_its_distance_from_128_times_the_scale_of_its_block() -> None:
    values = np.full((2, 2, 16), 128, np.uint8)
    values[0, 0, 5], values[0, 1, 0], values[1, 1, 3] = 0, 255, 129
    values[1, 1, 4:] = 77  # beyond the last column
    scales = np.array([[0.5, -2], [3, 0.25]], np.float32)
    expected = np.zeros((2, 20), np.float32)
    expected[0, 5], expected[0, 16], expected[1, 19] = -64, -254, 0.25
    assert (dequantize_blocks(BlockedMatrix(values, scales), 20) == expected).all()


def product(**settings: Any) -> NodeProto:
    given: dict[str, Any] = {"K": COLUMNS, "N": ROWS, "bits": 8, "block_size": SIZE, "accuracy_level": 4, **settings}
    return helper.make_node(PRODUCT, ["x", "values", "scales"], ["y"], domain=DOMAIN, **given)


UNSQUEEZE = helper.make_node("Unsqueeze", ["scales", "last"], ["unsqueezed"])


def look_up(table: str, **settings: Any) -> NodeProto:
    inputs = [table, "ids", "unsqueezed"]
    given: dict[str, Any] = {"bits": 8, "block_size": SIZE, "gather_axis": 0, "quantize_axis": 2, **settings}
    return helper.make_node(LOOK_UP, inputs, ["y"], domain=DOMAIN, **given)


def constants(
    values: Any = (ROWS, 2, SIZE), scales: Any = (ROWS, 2), kind: Any = np.uint8, scales_kind: Any = np.float32
) -> dict[str, TensorProto]:
    arrays = {"values": np.zeros(values, kind), "scales": np.zeros(scales, scales_kind)}
    return {name: numpy_helper.from_array(array, name) for name, array in arrays.items()}


def test_a_sound_product_has_no_fault() -> None:
    assert fault(product(), constants(), {}) is None
    biased = product()
    biased.input.extend(["", "", "bias"])
    assert fault(biased, constants(), {}) is None


@pytest.mark.parametrize(
    ("settings", "shapes", "expected"),
    [
        ({"bits": 4}, {}, "has 4 bits in blocks of 32"),
        ({"block_size": 24}, {}, "has 8 bits in blocks of 24"),
        ({"accuracy_level": 2}, {}, "has the accuracy level 2"),
        ({"block_size": 16}, {}, r"has no constant values of the shape [3, 3, 16]"),
        ({"K": 20}, {}, "has no constant values of the shape [3, 1, 32]"),
        ({"N": 4}, {}, "has no constant values of the shape [4, 2, 32]"),
        ({"K": 0}, {"values": (ROWS, 0, SIZE), "scales": (ROWS, 0)}, "has the shape [3, 0]"),
        ({}, {"values": (ROWS, 2, 16)}, "has no constant values of the shape [3, 2, 32]"),
        ({}, {"kind": np.int8}, "has no constant values of the shape [3, 2, 32]"),
        ({}, {"scales": (ROWS, 1)}, "has no constant scales of the shape [3, 2]"),
    ],
)
def test_a_product_of_another_shape_is_named(settings: Any, shapes: Any, expected: str) -> None:
    assert fault(product(**settings), constants(**shapes), {}) == expected


def no_scales(node: NodeProto) -> None:
    node.input.pop()


def zero_points(node: NodeProto) -> None:
    node.input.append("values")


def computed_values(node: NodeProto) -> None:
    node.input[1] = "x"


def a_text_for_a_number(node: NodeProto) -> None:
    node.attribute[0].CopyFrom(helper.make_attribute("K", "40"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (no_scales, "has other inputs than values, scales and a bias"),
        (zero_points, "has other inputs than values, scales and a bias"),
        (computed_values, "has no constant values of the shape [3, 2, 32]"),
        (a_text_for_a_number, "has the shape [3, 0]"),
    ],
)
def test_a_product_with_other_inputs_is_named(change: Callable[[NodeProto], None], expected: str) -> None:
    node = product()
    change(node)
    assert fault(node, constants(), {}) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"kind": np.int8}, "has no constant table of bytes in blocks of 32"),
        ({"values": (ROWS, 2 * SIZE)}, "has no constant table of bytes in blocks of 32"),
        ({"values": (ROWS, 4, 16)}, "has a table of the shape [3, 4, 16], where its blocks have 32 numbers"),
        ({"values": (0, 2, SIZE)}, "has a table of the shape [0, 2, 32], where its blocks have 32 numbers"),
        ({"scales": (ROWS, 1)}, "has no constant scales of the shape [3, 2] behind an Unsqueeze"),
        ({"scales_kind": np.float16}, "has no constant scales of the shape [3, 2] behind an Unsqueeze"),
    ],
)
def test_a_look_up_needs_a_constant_table_and_its_scales(change: Any, expected: str | None) -> None:
    assert fault(look_up("values"), constants(**change), unsqueezed([UNSQUEEZE])) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"gather_axis": None}, None),
        ({"gather_axis": 1}, "has the axes gather_axis 1, quantize_axis 2"),
        ({"gather_axis": -1}, "has the axes gather_axis -1, quantize_axis 2"),
        ({"quantize_axis": 1}, "has the axes gather_axis 0, quantize_axis 1"),
        ({"quantize_axis": None}, "has the axes gather_axis 0, quantize_axis 1"),
        ({"quantize_axis": 0}, "has the axes gather_axis 0, quantize_axis 0"),
    ],
)
def test_a_look_up_along_another_axis_is_named(settings: dict[str, int | None], expected: str | None) -> None:
    """An attribute that is None is left out. The weights would be read as another matrix than the engine reads."""
    node = look_up("values", **settings)
    assert fault(node, constants(), unsqueezed([UNSQUEEZE])) == expected


def test_a_look_up_of_what_is_not_constant_is_named() -> None:
    made_of = unsqueezed([UNSQUEEZE])
    assert fault(look_up("ids"), constants(), made_of) == "has no constant table of bytes in blocks of 32"
    said = "has no constant scales of the shape [3, 2] behind an Unsqueeze"
    assert fault(look_up("values"), constants(), {}) == said
    assert fault(look_up("values"), constants(), {"unsqueezed": "ids"}) == said
