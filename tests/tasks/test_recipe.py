"""A recipe is read as it was meant, or refused in a sentence that names the file and the field."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.errors import InvalidRecipe
from tasks.recipe import Recipe, load_recipe
from tasks.settings import REPOSITORY

SOUND: dict[str, Any] = {
    "description": "A recipe.",
    "licences": ["mit"],
    "texts": {"evaluation": "texts/e.jsonl", "calibration": "texts/c.jsonl"},
    "targets": [{"safetensors-bf16": {"shard_size_mb": 2}}, "gguf-q8_0", "gguf-q4_k_m", "onnx-fp32"],
    "gates": [
        {"metric": "kld_mean", "maximum": 0.05, "reason": "a bound for this test"},
        {"metric": "kld_mean", "maximum": 0.002, "targets": "gguf-q8_0", "reason": "a tighter one for this test"},
        {"metric": "top1_agreement", "minimum": 0.8, "targets": "gguf-*", "reason": "another for this test"},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    for name in ("e", "c"):
        (tmp_path / "texts" / f"{name}.jsonl").write_text('{"text": "x"}\n')
    return tmp_path


def load(folder: Path, **changed: Any) -> Recipe:
    content = {key: value for key, value in {**SOUND, **changed}.items() if value is not None}
    path = folder / "my_recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_recipe(path)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "dags" / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_our_own_recipes_are_sound(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_a_recipe_is_named_by_its_file_and_lies_beside_its_texts(folder: Path) -> None:
    recipe = load(folder)
    assert (recipe.name, recipe.folder) == ("my_recipe", folder)
    assert recipe.target_names == ["safetensors-bf16", "gguf-q8_0", "gguf-q4_k_m", "onnx-fp32"]
    assert recipe.target("safetensors-bf16").options["shard_size_mb"] == 2
    assert recipe.target("gguf-q8_0").format == "gguf"
    with pytest.raises(KeyError):
        recipe.target("gguf-q9_0")


def test_what_is_required_is_what_matches_and_is_not_to_be_blocked(folder: Path) -> None:
    recipe = load(folder, required=["gguf-*"], expect_blocked=["gguf-q4_k_m"])
    assert [name for name in recipe.target_names if recipe.is_required(name)] == ["gguf-q8_0"]
    assert all(load(folder).is_required(name) for name in recipe.target_names)


def test_of_several_gates_on_one_metric_the_last_counts(folder: Path) -> None:
    recipe = load(folder)
    assert [(rule.metric, rule.maximum) for rule in recipe.rules_for("gguf-q8_0")] == [
        ("kld_mean", 0.002),
        ("top1_agreement", None),
    ]
    assert [rule.maximum for rule in recipe.rules_for("onnx-fp32")] == [0.05]


def test_a_lower_bound_does_not_replace_an_upper_one(folder: Path) -> None:
    gates = [
        {"metric": "kld_mean", "maximum": 0.05, "reason": "not more for this test"},
        {"metric": "kld_mean", "minimum": 0.0, "reason": "not less for this test"},
    ]
    assert len(load(folder, gates=gates).rules_for("onnx-fp32")) == 2


GATE = {"metric": "kld_mean", "maximum": 0.05, "reason": "a bound for this test"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"licenses": ["mit"]}, "licenses: Extra inputs are not permitted"),
        ({"targets": ["gguf-q4_k_n"]}, "targets: .*'gguf-q4_k_n'.*did you mean 'gguf-q4_k_.'"),
        ({"targets": ["ggfu-q8_0"]}, "targets: .*No format makes the target 'ggfu-q8_0' .did you mean 'gguf-q8_0'"),
        ({"targets": ["gguf-q8_0", "gguf-q8_0"]}, "'gguf-q8_0' is listed twice"),
        ({"targets": []}, "targets: "),
        ({"targets": "gguf-q8_0"}, "targets: "),
        ({"targets": [["gguf-q8_0"]]}, "targets: .*a target is a name, or one name with options below it"),
        ({"targets": [{"safetensors-bf16": {"shard_size": 2}}]}, "targets: .*shard_size"),
        ({"gates": [GATE | {"targets": "awq-*"}]}, r"the pattern 'awq-\*' matches no target"),
        ({"gates": [GATE | {"metric": "kld_maen"}]}, "gates: nothing measures 'kld_maen' .did you mean 'kld_mean'"),
        ({"gates": [GATE | {"minimum": 0.1}]}, "gates.0"),
        ({"gates": [{"metric": "kld_mean", "maximum": 0.1}]}, "gates.0.reason: Field required"),
        ({"gates": []}, "gates: "),
        ({"expect_blocked": ["gguf-q2_k"]}, "'expect_blocked' names 'gguf-q2_k', which is no target"),
        ({"required": ["safetensor-*"]}, r"the pattern 'safetensor-\*' matches no target"),
        ({"models": ["tiny-tales"]}, "models.0"),
        ({"schedule": "@daily"}, "a 'schedule' needs 'models' to watch"),
        ({"texts": {"evaluation": "texts/no.jsonl", "calibration": "texts/c.jsonl"}}, "no file 'texts/no.jsonl'"),
        ({"texts": {"evaluation": "texts/e.jsonl"}}, "texts.calibration: Field required"),
        ({"name": "My Recipe"}, "name: "),
        ({"licences": None}, "licences: Field required"),
        ({"evaluation": {"windows": 0}}, "evaluation.windows: "),
        ({"timeout_hours": 0}, "timeout_hours: "),
        ({"code": [{"repository": "a/b", "commit": "main"}]}, "code.0.commit: "),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_named_in_one_line(folder: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRecipe, match=rf"^my_recipe\.yaml: .*{said}") as refused:
        load(folder, **changed)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "- a list", "just words"])
def test_a_file_that_is_no_mapping_is_no_recipe(folder: Path, text: str) -> None:
    (folder / "bad.yaml").write_text(text)
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml: a recipe is a YAML mapping; see dags/recipes/demo\.yaml"):
        load_recipe(folder / "bad.yaml")


def test_broken_yaml_is_told_with_its_place(folder: Path) -> None:
    (folder / "bad.yaml").write_text("targets: [a\ngates: b")
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml is no YAML: .*line 2"):
        load_recipe(folder / "bad.yaml")


def test_a_key_that_is_there_twice_is_refused(folder: Path) -> None:
    (folder / "bad.yaml").write_text(yaml.safe_dump(SOUND) + "\ntargets: [gguf-q8_0]\n")
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml is no YAML: .*'targets' is there twice.*line"):
        load_recipe(folder / "bad.yaml")


def test_a_recipe_that_is_no_text_is_told(folder: Path) -> None:
    (folder / "bad.yaml").write_bytes(b"description: \xff\xfe")
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml is no YAML"):
        load_recipe(folder / "bad.yaml")
