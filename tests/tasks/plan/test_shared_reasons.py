import pytest

from tasks.plan.shared_reasons import causes, first_with, list_names

LONG = "convert: llama.cpp's converter cannot convert this model; leave it out"


def test_a_reason_is_told_by_the_first_target_that_has_it() -> None:
    reasons = {"a": LONG, "b": "another", "c": LONG, "d": LONG}
    assert first_with(reasons) == {"c": "a", "d": "a"}


def test_a_base_tells_the_reason_of_what_is_made_from_it() -> None:
    reasons = {"gguf-f16": LONG, "gguf-q8_0": f"gguf-f16.{LONG}", "onnx-fp32": LONG}
    assert causes(reasons) == {"gguf-f16": f"gguf-f16.{LONG}", "gguf-q8_0": f"gguf-f16.{LONG}", "onnx-fp32": LONG}
    assert first_with(reasons) == {"gguf-q8_0": "gguf-f16"}


def test_a_short_reason_is_repeated() -> None:
    assert first_with({"a": "all 11 gates passed", "b": "all 11 gates passed"}) == {}


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_names_are_a_part_of_a_sentence(names: list[str], text: str) -> None:
    assert list_names(names) == text
