"""Formats are found by the names of their targets, and a wrong name by what it resembles."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.errors import InvalidRecipe
from tasks.formats import registry
from tasks.formats.registry import FORMATS, load_format, parse_target, target_names
from tasks.names import did_you_mean
from tasks.settings import REPOSITORY
from tests.tasks.formats.analyses import analysis_with

FORMAT_MODULES = {"target", "convert", "inspect"}
ENGINE_MODULES = {"engine", "serving", "runner", "usage"}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_the_same_modules(name: str) -> None:
    assert _modules(f"tasks/formats/{name}") >= FORMAT_MODULES
    format = load_format(name)
    assert format.name == name
    assert _defined(format.inspect)
    for engine in format.engines:
        module, _, _ = engine.runner.partition(":")
        assert _modules(str(Path(*module.split(".")).parent)) >= ENGINE_MODULES
        assert _defined(engine.runner) and _defined(f"{engine.serving}:open_engine")


def _modules(folder: str) -> set[str]:
    return {path.stem for path in (REPOSITORY / folder).glob("*.py")}


def _defined(reference: str) -> bool:
    module, _, function = reference.partition(":")
    return f"def {function}(" in (REPOSITORY / f"{module.replace('.', '/')}.py").read_text()


@pytest.mark.parametrize("name", FORMATS)
def test_the_key_of_a_conversion_covers_the_requirements_that_it_writes(name: str) -> None:
    format = load_format(name)
    for maker in format.makers.values():
        assert set(format.engines[0].requirements) <= set(maker.values)


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
def test_a_wrong_name_is_reported_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(InvalidRecipe, match=said):
        parse_target(name)


def test_an_option_that_no_target_has_is_refused() -> None:
    for name in target_names():
        with pytest.raises(InvalidRecipe, match=f"The target '{name}' has no option 'no_such_option'"):
            parse_target(name, {"no_such_option": 1})
    with pytest.raises(InvalidRecipe, match=r"has no option 'imatrx' \(did you mean 'imatrix'\?\)\.$"):
        parse_target("gguf-q4_k_m", {"imatrx": True})
    with pytest.raises(InvalidRecipe, match=r"has no option 'imatrix' \(it has none\)\.$"):
        parse_target("gguf-f16", {"imatrix": True})


def test_a_wrong_value_of_an_option_is_refused() -> None:
    with pytest.raises(InvalidRecipe, match=r"^The target 'gguf-q4_k_m': option imatrix"):
        parse_target("gguf-q4_k_m", {"imatrix": "perhaps"})


def test_a_format_that_does_not_exist_is_reported_with_the_nearest() -> None:
    with pytest.raises(InvalidRecipe, match=r"^There is no format 'ggfu' \(did you mean 'gguf'\?\)\.$"):
        load_format("ggfu")


def test_only_what_can_be_served_has_engines() -> None:
    assert parse_target("gguf-q4_0").engines == tuple(engine.name for engine in load_format("gguf").engines)
    assert parse_target("gguf-imatrix").engines == ()


def test_where_nothing_is_near_all_are_reported() -> None:
    assert did_you_mean("zzz", ["one", "two"]) == " (known: one, two)"


def test_a_format_that_says_too_little_is_noticed_at_once() -> None:
    for field in ("schemes", "makers", "engines", "weights"):
        with pytest.raises(ValueError, match=f"the format 'gguf' has no {field}"):
            replace(load_format("gguf"), **{field: ()})  # type: ignore[arg-type]


def test_a_target_whose_precision_is_not_declared_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = load_format("gguf")
    lacking = replace(known, precisions={name: bits for name, bits in known.precisions.items() if name != "q8_0"})
    monkeypatch.setattr(registry, "load_format", lambda name: lacking)
    with pytest.raises(AssertionError, match="the format 'gguf' has no precision of 'q8_0'"):
        parse_target("gguf-q8_0")


def test_a_format_with_controls_that_cannot_compare_weights_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = replace(load_format("gguf"), same_weights=None)
    monkeypatch.setattr(registry, "load_format", lambda name: lacking)
    assert parse_target("gguf-q8_0")
    with pytest.raises(AssertionError, match="has controls and no function that compares weights"):
        parse_target("gguf-q4_k_m")


def test_a_variant_has_a_name_of_its_own_and_is_the_same_thing() -> None:
    plain, variant = parse_target("gguf-q4_k_m"), parse_target("gguf-q4_k_m", {"as": "q4-plain", "imatrix": False})
    assert (variant.name, variant.format, variant.scheme) == ("q4-plain", "gguf", "q4_k_m")
    assert variant.requires != plain.requires
    for called in ("onnx-int8", "Q4", "", 4, ["x"], "a/b", "a.b", "a" * 65, "report", "snapshot", "calibration"):
        with pytest.raises(InvalidRecipe, match="cannot be called"):
            parse_target("gguf-q4_0", {"as": called})


def test_an_unknown_maker_is_reported_with_the_nearest() -> None:
    assert parse_target("gguf-q4_0", {"maker": "llama.cpp"}).maker == "llama.cpp"
    for nonsense in (["llama.cpp"], {"llama.cpp": 1}, None, 4):
        with pytest.raises(InvalidRecipe, match="has no maker"):
            parse_target("gguf-q4_0", {"maker": nonsense})
    with pytest.raises(InvalidRecipe, match=r"has no maker 'llama' \(did you mean 'llama.cpp'"):
        parse_target("gguf-q4_0", {"maker": "llama"})


def test_a_recipe_may_ask_for_proofs_in_pools_that_this_host_does_not_have() -> None:
    target = parse_target("gguf-q4_0", {"on": ["cpu", "gpu-l4"]})
    assert target.on == ("cpu", "gpu-l4") and parse_target("gguf-q4_0").on == ()
    for wrong in ("cpu", [], None, [1], ["CPU"], ["a/b"], {"cpu": 1}, [""]):
        with pytest.raises(InvalidRecipe, match="'on' must list the names of pools"):
            parse_target("gguf-q4_0", {"on": wrong})
    with pytest.raises(InvalidRecipe, match="lists the pool 'cpu' twice"):
        parse_target("gguf-q4_0", {"on": ["cpu", "gpu", "cpu"]})
    with pytest.raises(InvalidRecipe, match="'judged', which is a task of a target; rename the pool"):
        parse_target("gguf-q4_0", {"on": ["cpu", "judged"]})
    with pytest.raises(InvalidRecipe, match="no engine can run it, so remove the option 'on'"):
        parse_target("gguf-imatrix", {"on": ["cpu"]})


def test_where_a_target_is_proven_is_no_part_of_what_its_conversion_gets() -> None:
    plain, proven = parse_target("gguf-q4_0"), parse_target("gguf-q4_0", {"on": ["cpu", "gpu"]})
    assert proven.converted() == plain
    assert proven.measured_by("llama.cpp") == plain.measured_by("llama.cpp")


@pytest.mark.parametrize("name", target_names())
def test_a_variant_needs_what_the_target_needs(name: str) -> None:
    plain, variant = parse_target(name), parse_target(name, {"as": "another-name"})
    predict = load_format(plain.format).predict
    assert predict(variant, analysis_with()) == predict(plain, analysis_with())
