"""Each fault of a file is found and named; a file that only rounds is whole."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tasks.formats.stored import FLOAT16, Content, Floats, Grid, Origin, Source, Stored
from tasks.integrity.compare import UNKNOWN, compare
from tasks.integrity.record import Integrity
from tests.tasks.integrity.toy import NINE_BITS, changed, content_of, layers, rounded, source_of, stored


def compared(content: Content, source: Source, threads: int = 1) -> Integrity:
    return compare("toy-q8", content, source, threads, lambda what, share: None)


def shares(found: Integrity) -> dict[str, float]:
    return {name: measured.value for name, measured in found.metrics.items()}


@pytest.mark.parametrize("grid", [FLOAT16, NINE_BITS])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_file_that_only_rounds_is_whole(grid: Grid, threads: int) -> None:
    source = source_of(layers())
    found = compared(content_of(layers(), source, grid), source, threads)
    assert shares(found) == {"tensors_covered": 1, "tensors_faithful": 1, "weights_identical": 0}
    assert (found.causes, found.caveats) == ({}, [])
    assert [tensor.name for tensor in found.tensors] == list(layers())
    assert found.summary.startswith("6 of 6 tensors, largest error")


def test_a_file_with_the_sources_own_numbers_is_identical() -> None:
    arrays = {name: array.astype(np.float16) for name, array in layers().items()}
    source = source_of(arrays)
    found = compared(content_of(arrays, source), source)
    assert shares(found)["weights_identical"] == 1
    assert found.summary == "6 of 6 tensors, every number is the source's"
    one_bit = arrays["1.up"].astype(np.float32)
    one_bit[5, 5] = np.nextafter(one_bit[5, 5], np.float32(1))
    found = compared(changed(content_of(arrays, source), "1.up", one_bit), source)
    assert shares(found) == {"tensors_covered": 1, "tensors_faithful": 1, "weights_identical": 0}


FAULTS: dict[str, tuple[Callable[[Floats, Floats], Floats], str]] = {
    "scaled": (lambda array, other: array * np.float32(1.02), "it looks scaled"),
    "scaled down": (lambda array, other: array * np.float32(0.98), "it looks scaled"),
    "zeroed": (lambda array, other: 0 * array, "it looks zeroed"),
    "transposed": (lambda array, other: array.T.copy(), "it looks transposed"),
    "reversed": (lambda array, other: array[::-1].copy(), "it looks as if its rows were reversed"),
    "swapped": (lambda array, other: other, "it looks like 0.up"),
}


@pytest.mark.parametrize("grid", [FLOAT16, NINE_BITS])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_tensor_is_found_and_described(fault: str, grid: Grid) -> None:
    plant, said = FAULTS[fault]
    arrays = layers()
    source = source_of(arrays)
    wrong = plant(rounded(arrays["1.up"], grid), rounded(arrays["0.up"], grid))
    found = compared(changed(content_of(arrays, source, grid), "1.up", wrong), source)
    (faulty,) = found.faulty
    assert faulty.name == "1.up" and faulty.fault is not None and said in faulty.fault
    assert shares(found) == {"tensors_covered": 1, "tensors_faithful": 5 / 6, "weights_identical": 0}
    assert found.causes == {"tensors_faithful": faulty.line}


def test_the_row_of_a_padding_token_may_be_zero() -> None:
    arrays = layers()
    arrays["0.up"][1] = 0
    source = source_of(arrays)
    found = compared(content_of(arrays, source, NINE_BITS), source)
    assert found.causes == {}


@pytest.mark.parametrize("grid", [FLOAT16, NINE_BITS])
@pytest.mark.parametrize("rows", [slice(1, 2), slice(None)])
def test_zeros_that_are_stored_as_other_numbers_are_found(grid: Grid, rows: slice) -> None:
    arrays = layers()
    arrays["0.up"][rows] = 0
    source = source_of(arrays)
    wrong = rounded(arrays["0.up"], grid)
    wrong[rows] = 1e-3
    found = compared(changed(content_of(arrays, source, grid), "0.up", wrong), source)
    assert [tensor.name for tensor in found.faulty] == ["0.up"]


def test_a_scale_that_no_single_row_shows_is_found() -> None:
    arrays = layers()
    source = source_of(arrays)
    wrong = rounded(arrays["1.up"], NINE_BITS) * np.float32(1.003)
    found = compared(changed(content_of(arrays, source, NINE_BITS), "1.up", wrong), source)
    (faulty,) = found.faulty
    assert faulty.fault is not None and faulty.fault.startswith("scale 1.0030, ")


def test_numbers_that_were_rounded_more_coarsely_than_their_type_says_are_found() -> None:
    arrays = layers()
    source = source_of(arrays)
    blocks = arrays["1.up"].reshape(-1, 32)
    scale = np.abs(blocks).max(-1, keepdims=True) / 63
    wrong = (np.round(blocks / scale) * scale).reshape(64, 64).astype(np.float32)
    found = compared(changed(content_of(arrays, source, NINE_BITS), "1.up", wrong), source)
    (faulty,) = found.faulty
    assert faulty.fault is not None and re.fullmatch(r"relative error 0\.01\d*, at most \S+ allowed", faulty.fault)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found(value: float) -> None:
    source = source_of(layers())
    wrong = rounded(layers()["1.down"], FLOAT16)
    wrong[3, 4] = value
    found = compared(changed(content_of(layers(), source), "1.down", wrong), source)
    assert found.causes == {"tensors_faithful": "1.down: 1 of its numbers are NaN or infinite"}


@pytest.mark.parametrize("factor", [0.0, 1.1, -1.0])
def test_one_wrong_row_of_a_large_tensor_is_found(factor: float) -> None:
    arrays = layers(size=512)
    source = source_of(arrays)
    wrong = rounded(arrays["0.down"], NINE_BITS)
    wrong[77] *= np.float32(factor)
    found = compared(changed(content_of(arrays, source, NINE_BITS), "0.down", wrong), source)
    (faulty,) = found.faulty
    assert faulty.fault is not None
    if factor == 1.1:
        # Only the row is scaled, not the tensor.
        said = r"1 of 512 rows are wrong, the worst is row 77: scale 1\.1\d*, \S+ to \S+ allowed"
        assert re.fullmatch(said, faulty.fault)


def test_a_missing_tensor_and_an_extra_one_are_holes_in_the_map() -> None:
    source = source_of(layers())
    whole = content_of(layers(), source)
    extra = stored("9.up", rounded(layers()["1.up"], FLOAT16), FLOAT16, source)
    found = compared(Content((*whole.tensors[1:], extra), {}), source)
    assert (found.lost, found.from_nowhere) == (("0.up",), ("9.up",))
    assert shares(found)["tensors_covered"] == 10 / 12
    assert found.causes == {
        "tensors_covered": "not in the file and not left out on purpose: 0.up; "
        "in the file, but from no tensor of the source: 9.up"
    }


def test_a_tensor_that_is_left_out_with_a_reason_is_no_hole() -> None:
    source = source_of(layers())
    whole = content_of(layers(), source)
    found = compared(Content(whole.tensors[1:], {"0.up": "a head of training"}), source)
    assert shares(found)["tensors_covered"] == 1 and found.dropped == {"0.up": "a head of training"}
    assert found.summary.endswith("1 left out on purpose")


def test_rows_that_are_missing_without_a_reason_are_a_hole() -> None:
    source = source_of(layers())
    whole = content_of(layers(), source)
    (part,) = whole.tensors[0].origin.parts if whole.tensors[0].origin else ()
    half = replace(part, numbers=part.numbers.seen(part.numbers.bits[:32]))
    short = replace(whole.tensors[0], shape=(32, 64), origin=Origin((half,)))
    assert compared(Content((short, *whole.tensors[1:]), {}), source).lost == ("0.up",)


def test_a_tensor_of_another_size_than_its_source_is_wrong() -> None:
    source = source_of(layers())
    whole = content_of(layers(), source)
    short = replace(whole.tensors[0], shape=(32, 64))
    found = compared(Content((short, *whole.tensors[1:]), {}), source)
    assert found.causes == {"tensors_faithful": "0.up: has 2048 numbers, where the source gives 4096"}


def test_an_unknown_architecture_is_compared_as_far_as_it_agrees() -> None:
    source = source_of(layers())
    tensors = [stored(name, rounded(array, FLOAT16), FLOAT16, source, known=False) for name, array in layers().items()]
    content = changed(Content(tuple(tensors), {}), "1.up", layers()["1.up"].T.copy())
    found = compared(content, source)
    assert found.not_compared == {"1.up": UNKNOWN} and len(found.tensors) == 5
    assert shares(found) == {"tensors_covered": 1, "tensors_faithful": 1, "weights_identical": 0}
    assert found.caveats == [f"1 tensor was not compared with the source (1.up): {UNKNOWN}"]


@pytest.mark.parametrize("small", [True, False])
def test_a_large_tensor_that_an_unknown_architecture_drops_is_lost(small: bool) -> None:
    """Everything in the file is explained, so nothing there can hold it. A few numbers may be in the metadata."""
    source = source_of(layers())
    dropped = "0.norm" if small else "0.up"
    kept = tuple(tensor for tensor in content_of(layers(), source).tensors if tensor.name != dropped)
    found = compared(Content(kept, {}, known=False), source)
    assert (found.lost, set(found.not_compared)) == (((), {dropped}) if small else ((dropped,), set()))


def test_a_map_of_an_unknown_architecture_may_have_holes_that_are_told() -> None:
    source = source_of(layers())
    whole = content_of(layers(), source)
    extra = stored("9.up", rounded(layers()["1.up"], FLOAT16), FLOAT16, source)
    found = compared(Content((*whole.tensors[1:], extra), {}, known=False), source)
    assert (found.lost, found.from_nowhere, set(found.not_compared)) == ((), (), {"0.up", "9.up"})
    assert shares(found)["tensors_covered"] == 1 and shares(found)["weights_identical"] == 0
    assert found.caveats[0].startswith("2 tensors were not compared with the source (9.up, 0.up): ")


@pytest.mark.parametrize(("numbers", "sound"), [([1.0, 2.0], True), ([0.0, 0.0], False), ([np.nan, 1.0], False)])
def test_a_constant_is_finite_and_not_zero(numbers: list[float], sound: bool) -> None:
    source = source_of(layers())
    array: Floats = np.array([numbers], np.float32)
    constant = Stored("rope", "f32", (2,), FLOAT16, lambda first, last: array[first:last], Origin(constant="factors"))
    whole = content_of(layers(), source)
    found = compared(Content((*whole.tensors, constant), {}), source)
    assert (found.constants == {"rope": "factors"}) == sound
    assert (shares(found)["tensors_faithful"] == 1) == sound
