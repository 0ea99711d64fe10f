"""What headers say of a tensor."""

from tasks.checkpoint.tensor import Tensor


def test_a_scalar_is_one_element_and_an_empty_dimension_makes_none() -> None:
    shapes = {(2, 3): 6, (): 1, (4, 0): 0}
    assert {shape: Tensor("F32", shape, 0, "x").elements for shape in shapes} == shapes
