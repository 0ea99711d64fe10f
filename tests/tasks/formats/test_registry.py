"""Formats are found by the names of their targets, and a wrong name by what it resembles."""

import pytest

from tasks.errors import InvalidRecipe
from tasks.formats.registry import FORMATS, load_format, parse_target, target_names
from tasks.names import did_you_mean
from tasks.settings import REPOSITORY

MODULES = {"target", "convert", "inspect", "runner", "serving"}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_the_same_modules(name: str) -> None:
    folder = REPOSITORY / "tasks" / "formats" / name
    assert {path.stem for path in folder.glob("*.py")} >= MODULES
    format = load_format(name)
    assert format.name == name
    for reference in (format.runner, format.inspect):
        module, _, function = reference.partition(":")
        source = (REPOSITORY / f"{module.replace('.', '/')}.py").read_text()
        assert f"def {function}(" in source


@pytest.mark.parametrize("name", target_names())
def test_every_name_gives_its_target(name: str) -> None:
    target = parse_target(name)
    assert target.name == name and name.startswith(f"{target.format}-")
    assert all(base in target_names() or base in ("snapshot", "analysis", "calibration") for base in target.requires)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gguf-q4_k_mm", r"There is no target 'gguf-q4_k_mm' \(did you mean 'gguf-q4_k_m'\?\)\."),
        ("onnx-fp23", r"There is no target 'onnx-fp23' \(did you mean 'onnx-fp32'\?\)\."),
        ("safetensors", r"There is no target 'safetensors' \(did you mean 'safetensors-bf16'\?\)\."),
        ("tensorrt-fp16", r"No format makes the target 'tensorrt-fp16'"),
        ("", r"No format makes the target ''"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(InvalidRecipe, match=said):
        parse_target(name)


def test_an_option_that_no_target_has_is_refused() -> None:
    for name in target_names():
        with pytest.raises(InvalidRecipe, match="no_such_option"):
            parse_target(name, {"no_such_option": 1})


def test_where_nothing_is_near_all_are_told() -> None:
    assert did_you_mean("zzz", ["one", "two"]) == " (known: one, two)"
