"""The control of a target is the recipe's own, where the recipe makes it anyway."""

from tasks.formats.registry import parse_target
from tasks.plan.controls import control_of


def test_a_target_without_calibration_has_none() -> None:
    plain = parse_target("gguf-q4_k_m", {"imatrix": False})
    assert control_of(plain, [plain]) is None
    assert control_of(parse_target("onnx-int8"), []) is None


def test_it_is_the_same_scheme_without_calibration_under_the_schemes_own_name() -> None:
    target = parse_target("gguf-q4_k_m", {"as": "mine", "on": ["cpu", "big"]})
    control = control_of(target, [target])
    assert control == parse_target("gguf-q4_k_m", {"imatrix": False})


def test_one_that_the_recipe_makes_keeps_its_name_so_that_both_have_one_key() -> None:
    target = parse_target("gguf-q4_k_m")
    other = parse_target("gguf-q4_0", {"as": "other", "imatrix": False})
    plain = parse_target("gguf-q4_k_m", {"as": "plain", "imatrix": False, "on": ["big"]})
    assert control_of(target, [target, other, plain]) == plain.converted()
