"""A recipe is read as it was meant, or refused in a sentence that names the file and the field."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.errors import InvalidRecipe
from tasks.evaluation.bound import Bound
from tasks.evaluation.metrics import PARITY_METRICS, SERVER_PARITY
from tasks.evaluation.parameters import ASKED, QUESTIONS
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
    assert recipe.targets[0].options["shard_size_mb"] == 2
    assert recipe.targets[1].format == "gguf"


def test_a_recipe_reached_through_a_link_lies_where_its_texts_do(folder: Path, tmp_path: Path) -> None:
    load(folder)
    (tmp_path / "linked").symlink_to(folder)
    assert load_recipe(tmp_path / "linked" / "my_recipe.yaml").folder == folder.resolve()


def test_a_recipe_that_cannot_be_opened_is_told(folder: Path) -> None:
    (folder / "bad.yaml").symlink_to("nowhere")
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml or its texts cannot be read \(No such file or directory\)"):
        load_recipe(folder / "bad.yaml")


def test_what_is_required_is_what_matches_and_is_not_to_be_blocked(folder: Path) -> None:
    recipe = load(folder, required=["gguf-*"], expect_blocked=["gguf-q4_k_m"])
    assert [name for name in recipe.target_names if recipe.is_required(name)] == ["gguf-q8_0"]
    assert all(load(folder).is_required(name) for name in recipe.target_names)


def test_of_several_gates_on_one_metric_the_last_counts(folder: Path) -> None:
    recipe = load(folder)
    assert [(rule.metric, rule.maximum) for rule in recipe.rules_for("gguf-q8_0", 1e9)] == [
        ("kld_mean", 0.002),
        ("top1_agreement", None),
    ]
    assert [rule.maximum for rule in recipe.rules_for("onnx-fp32", 1e9)] == [0.05]


def test_a_lower_bound_does_not_replace_an_upper_one(folder: Path) -> None:
    gates = [
        {"metric": "kld_mean", "maximum": 0.05, "reason": "not more for this test"},
        {"metric": "kld_mean", "minimum": 0.0, "reason": "not less for this test"},
    ]
    assert len(load(folder, gates=gates).rules_for("onnx-fp32", 1e9)) == 2


def test_the_bounds_of_a_target_are_those_that_its_evaluation_can_measure(folder: Path) -> None:
    gates = [
        *SOUND["gates"],
        {"metric": "decode_tokens_per_second", "minimum": 1.0, "reason": "a timing for this test"},
    ]
    recipe = load(folder, gates=gates)
    found = [(bound.metric, bound.limit) for bound in recipe.bounds_for("gguf-q8_0", 1e9)]
    assert found == [("kld_mean", 0.002), ("top1_agreement", 0.8)]
    assert load(folder, gates=gates[::-1]).bounds_for("onnx-fp32", 1e9) == recipe.bounds_for("onnx-fp32", 1e9), (
        "in any order"
    )
    assert load(folder, evaluation={"stop": "never", "windows": 2}).bounds_for("gguf-q8_0", 1e9) == []


def test_windows_that_cannot_decide_a_gate_are_refused(folder: Path) -> None:
    """onnx-fp32 needs 16 windows, because its top-1 agreement has the tightest bound."""
    defaults = {"gates": "defaults", "targets": ["gguf-q8_0", "onnx-fp32"]}
    said = r"'windows' is 15, too few windows of 256 tokens .* top-1 agreement of 'onnx-fp32' .*; raise it to 16 at le"
    with pytest.raises(InvalidRecipe, match=said):
        load(folder, **defaults, evaluation={"windows": 15})
    assert load(folder, **defaults, evaluation={"windows": 16})
    assert load(folder, **defaults, evaluation={"windows": 4, "stop": "never"})
    never = [{"metric": "top1_agreement", "minimum": 1.0, "reason": "no number of windows shows this"}]
    with pytest.raises(InvalidRecipe, match=r"even for a perfect artifact; loosen the gate, or set 'stop: never'"):
        load(folder, gates=never)


def test_windows_that_decide_the_gates_of_models_of_one_size_are_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size of the model is known when a release runs."""
    agreement = {1e6: 0.9999, 1e9: 0.9}

    def bounds_for(recipe: Recipe, target: str, parameters: float) -> list[Bound]:
        return [Bound(metric="top1_agreement", minimum=agreement[parameters])]

    monkeypatch.setattr(Recipe, "bounds_for", bounds_for)
    monkeypatch.setattr("tasks.recipe.size_classes", lambda: {"small": 1e6, "large": 1e9})
    assert load(folder, evaluation={"windows": 12})
    agreement[1e9] = 0.9999
    with pytest.raises(InvalidRecipe, match="too few windows"):
        load(folder, evaluation={"windows": 12})


def test_how_the_comparison_ends_does_not_change_the_reference(folder: Path) -> None:
    early, never = (load(folder, evaluation={"stop": stop}).evaluation.settings for stop in ("early", "never"))
    assert early == never


def bounds(recipe: Recipe, target: str, parameters: float = 8e9) -> dict[str, float | None]:
    rules = recipe.rules_for(target, parameters)
    return {rule.metric: rule.minimum if rule.maximum is None else rule.maximum for rule in rules}


@pytest.mark.parametrize("gates", ["defaults", ["defaults"]])
def test_default_gates_bind_every_target_by_its_bits_and_the_models_size(folder: Path, gates: Any) -> None:
    recipe = load(folder, gates=gates)
    assert recipe.with_defaults and recipe.own_gates == []
    found = {name: bounds(recipe, name)["kld_mean"] for name in recipe.target_names}
    assert found == {"safetensors-bf16": 0.001, "gguf-q8_0": 0.002, "gguf-q4_k_m": 0.06, "onnx-fp32": 0.000001}
    assert bounds(recipe, "gguf-q8_0", 135e6)["kld_mean"] == 0.008
    parities = set(PARITY_METRICS) - {"tokenizer_parity", SERVER_PARITY}
    assert parities | {"kld_long", "kld_p99", "top1_agreement", "delta_ln_perplexity", "kld_mean"} == set(
        bounds(recipe, "gguf-q8_0")
    )


def test_gates_after_the_defaults_replace_and_add(folder: Path) -> None:
    own = [
        {"metric": "kld_mean", "maximum": 0.5, "targets": "gguf-q8_0", "reason": "looser for this test"},
        {"metric": "size_bytes", "maximum": 9e9, "reason": "a further gate for this test"},
    ]
    recipe, plain = load(folder, gates=["defaults", *own]), load(folder, gates="defaults")
    assert bounds(recipe, "gguf-q8_0") == {**bounds(plain, "gguf-q8_0"), "kld_mean": 0.5, "size_bytes": 9e9}
    assert bounds(recipe, "onnx-fp32") == {**bounds(plain, "onnx-fp32"), "size_bytes": 9e9}


def test_a_variant_has_the_default_gates_of_what_it_is(folder: Path) -> None:
    recipe = load(folder, gates="defaults", targets=["gguf-q4_0", {"gguf-q8_0": {"as": "q4_named"}}])
    assert bounds(recipe, "q4_named")["kld_mean"] == 0.002


def test_few_questions_are_asked_unless_a_gate_is_on_the_answers(folder: Path) -> None:
    answers = {"metric": "answer_recall", "minimum": 0.5, "targets": "gguf-q8_0", "reason": "a gate on the answers"}
    with pytest.raises(
        InvalidRecipe, match=r"'answer_recall' is never measured, because the text texts/e\.jsonl has no q"
    ):
        load(folder, gates=["defaults", answers])
    (folder / "texts" / "e.jsonl").write_text('{"text": "x"}\n{"text": "y", "prompt": "a", "answer": "b"}\n')
    assert load(folder, gates=["defaults"]).questions == ASKED
    assert load(folder, gates=["defaults", answers]).questions == QUESTIONS
    assert load(folder, gates=["defaults"], evaluation={"stop": "never"}).questions == QUESTIONS


def test_without_a_long_window_there_is_no_default_gate_on_it(folder: Path) -> None:
    assert "kld_long" not in bounds(load(folder, gates="defaults", evaluation={"long_window_tokens": 0}), "gguf-q8_0")


def test_without_the_word_there_are_no_default_gates(folder: Path) -> None:
    recipe = load(folder)
    assert not recipe.with_defaults
    assert list(bounds(recipe, "onnx-fp32")) == ["kld_mean"]


GATE = {"metric": "kld_mean", "maximum": 0.05, "reason": "a bound for this test"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"licenses": ["mit"]}, "there is no field 'licenses' .did you mean 'licences'"),
        ({"targets": ["gguf-q4_k_n"]}, "targets: .*'gguf-q4_k_n'.*did you mean 'gguf-q4_k_.'"),
        ({"targets": ["ggfu-q8_0"]}, "targets: .*No format makes the target 'ggfu-q8_0' .did you mean 'gguf-q8_0'"),
        ({"targets": ["gguf-q8_0", "gguf-q8_0"]}, "'gguf-q8_0' is listed twice"),
        ({"targets": []}, "targets: "),
        ({"targets": "gguf-q8_0"}, "targets: "),
        ({"targets": [["gguf-q8_0"]]}, "targets: .*a target must be a name, or a name with options below it"),
        ({"targets": [{"safetensors-bf16": {"shard_size": 2}}]}, "targets: .*shard_size"),
        ({"gates": [GATE | {"targets": "awq-*"}]}, r"the pattern 'awq-\*' matches no target"),
        ({"gates": [GATE | {"metric": "kld_maen"}]}, "gates: there is no metric 'kld_maen' .did you mean 'kld_mean'"),
        ({"gates": [GATE | {"minimum": 0.1}]}, "gates.0"),
        ({"gates": [{"metric": "kld_mean", "maximum": 0.1}]}, "gates.0: 'reason' is missing"),
        ({"gates": []}, "gates: "),
        ({"gates": [GATE, "defaults"]}, "gates: 'defaults' must be the first entry"),
        ({"gates": ["defaults", "defaults"]}, "gates: 'defaults' must be the first entry"),
        ({"gates": [None, GATE]}, "gates: an entry is empty; write a gate, or 'defaults' as the first entry"),
        ({"gates": "default"}, "gates: 'default' is no gate; write 'defaults', or a gate such as {metric: "),
        ({"gates": ["default"]}, "gates: 'default' is no gate; write 'defaults', or a gate such as {metric: "),
        ({"gates": GATE}, "gates: must be a list, such as .a, b."),
        ({"licences": "mit"}, "licences: must be a list, such as .a, b."),
        ({"requird": ["*"]}, "there is no field 'requird' .did you mean 'required'"),
        ({"speed": 1}, "there is no field 'speed'; remove it"),
        ({"evaluation": {"window": 9}}, "evaluation: there is no field 'window' .did you mean 'windows'"),
        (
            {"gates": [{"metric": "top1_agreement", "minimum": 85, "reason": "a percentage for this test"}]},
            "gates: the minimum 85 of 'top1_agreement' is beyond 1, its largest value; write 0.85 for 85 %",
        ),
        ({"gates": [GATE | {"maximum": -1}]}, "gates: the maximum -1 of 'kld_mean' is below 0, its smallest value"),
        (
            {"gates": [{"metric": "weights_identical", "minimum": 2, "reason": "a wrong one for this test"}]},
            "gates: the minimum 2 of 'weights_identical' is beyond 1, its largest value",
        ),
        ({"gates": ["defaults", {"metric": "kld_mean", "maximum": 0.1}]}, "gates.1: 'reason' is missing"),
        (
            {"gates": ["defaults", {"metric": "kld_mean", "minimum": 0.01, "reason": "a wrong one for this test"}]},
            "'kld_mean' of 'safetensors-bf16' cannot be at least 0.01 and at most 0.0003",
        ),
        ({"expect_blocked": ["gguf-q2_k"]}, "'expect_blocked' names 'gguf-q2_k', which is not a target"),
        ({"required": ["safetensor-*"]}, r"the pattern 'safetensor-\*' matches no target"),
        ({"models": ["tiny-tales"]}, "models.0"),
        ({"schedule": "@daily"}, "a 'schedule' needs 'models' to watch"),
        ({"texts": {"evaluation": "texts/no.jsonl", "calibration": "texts/c.jsonl"}}, "no file 'texts/no.jsonl'"),
        ({"texts": {"evaluation": "texts/e.jsonl"}}, "texts: 'calibration' is missing"),
        ({"name": "another"}, "name: this comes from the file's path"),
        ({"licences": None}, "'licences' is missing"),
        ({"evaluation": {"windows": 0}}, "evaluation.windows: "),
        (
            {"evaluation": {"windows": 7}},
            "evaluation: 'stop: early' decides by at least 8 windows, and 'windows' is 7; ",
        ),
        ({"evaluation": {"stop": "soon"}}, "evaluation.stop: Input should be 'early' or 'never'"),
        ({"timeout_hours": 0}, "timeout_hours: "),
        ({"context": "all"}, "context: Input should be 'compared' or 'source'"),
        (
            {"code": [{"repository": "a/b", "commit": "main"}]},
            "code.0.commit: 'main' is not a full commit: 40 hexadecimal digits in lower case",
        ),
        ({"targets": ["gguf-q8_0", "gguf-imatrix"], "gates": [GATE]}, "no engine serves 'gguf-imatrix'"),
        ({"targets": [{"gguf-iq2_m": {"imatrix": False}}], "gates": [GATE]}, "targets: .*without an importance matrix"),
        ({"gates": [GATE | {"targets": "gguf-q8_0"}]}, "no gate checks the target 'safetensors-bf16'"),
        (
            {"gates": [GATE, {"metric": "kld_mean", "minimum": 0.06, "reason": "another for this test"}]},
            "'kld_mean' of 'safetensors-bf16' cannot be at least 0.06 and at most 0.05",
        ),
        ({"gates": [GATE | {"maximum": float("nan")}]}, "gates.0.maximum: Input should be a finite number"),
        ({"gates": [GATE | {"maximum": float("inf")}]}, "gates.0.maximum: Input should be a finite number"),
        (
            {"required": ["gguf-q8_0"], "expect_blocked": ["gguf-q8_0"]},
            "'gguf-q8_0' is in 'required' and in 'expect_bl",
        ),
        ({"licences": []}, "licences: "),
        ({"models": ["a/b", "a/b"]}, "the model 'a/b' is listed twice"),
        ({"models": ["a/b\n"]}, "models.0: "),
        ({"models": ["a/{{ var.value.x }}"]}, "models.0: "),
        ({"models": ["ä/b"]}, "models.0: "),
        ({"timeout_hours": 1e300}, "timeout_hours: "),
        ({"evaluation": {"windows": 10**12}}, "evaluation.windows: "),
        ({"texts": {"evaluation": "../e.jsonl", "calibration": "texts/c.jsonl"}}, "texts.evaluation: "),
        ({"texts": {"evaluation": "texts/../../e.jsonl", "calibration": "texts/c.jsonl"}}, "texts.evaluation: "),
        (
            {"texts": {"evaluation": "/etc/passwd", "calibration": "texts/c.jsonl"}},
            "texts.evaluation: '/etc/passwd' is not a path below the recipe's folder",
        ),
        ({"registered_name": "all-in-one"}, "registered_name: 'all-in-one' lacks '{owner}'"),
        ({"registered_name": "{target}/{env}"}, "registered_name: .* has the field 'env'"),
        ({"registered_name": "{target.__class__}"}, "registered_name: .* has the field"),
        ({"registered_name": "{target:>999999999}"}, "registered_name: .* formats a field"),
        ({"registered_name": "{target!r}"}, "registered_name: .* formats a field"),
        ({"registered_name": "x' or 1=1 --{owner}--{name}--{target}"}, "registered_name: .* contains "),
        ({"registered_name": "{owner}-{name}--{target}"}, "has only '-' between '{owner}' and '{name}', so two "),
        ({"registered_name": "{owner}--{name}{target}"}, "has only '' between '{name}' and '{target}', so two "),
        ({f"unknown_{i}": 1 for i in range(1000)}, "and 995 more"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_named_in_one_line(folder: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRecipe, match=rf"^my_recipe\.yaml: .*{said}") as refused:
        load(folder, **changed)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 1600


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"gates": [GATE | {"minimun": 0.1}]},
            "my_recipe.yaml: gates.0: there is no field 'minimun' (did you mean 'minimum'?).",
        ),
        ({"gates": [{**GATE, "reason": 5}]}, "my_recipe.yaml: gates.0.reason: Input should be a valid string."),
        ({"licences": [5]}, "my_recipe.yaml: licences.0: Input should be a valid string."),
    ],
    ids=str,
)
def test_a_list_with_a_wrong_item_is_not_called_empty(folder: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRecipe) as refused:
        load(folder, **changed)
    assert str(refused.value) == said


@pytest.mark.parametrize("text", ["", "- a list", "just words"])
def test_a_file_that_is_no_mapping_is_no_recipe(folder: Path, text: str) -> None:
    (folder / "bad.yaml").write_text(text)
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml: a recipe is a YAML mapping; see dags/recipes/demo\.yaml"):
        load_recipe(folder / "bad.yaml")


def test_the_option_on_is_read_as_it_is_written(folder: Path) -> None:
    """YAML 1.1 reads a plain `on` as a boolean."""
    text = yaml.safe_dump({**SOUND, "targets": ["gguf-q8_0"], "gates": SOUND["gates"][:1]})
    (folder / "pools.yaml").write_text(text.replace("- gguf-q8_0", "- gguf-q8_0: {on: [cpu, gpu-l4], imatrix: on}"))
    (target,) = load_recipe(folder / "pools.yaml").targets
    assert target.on == ("cpu", "gpu-l4") and target.options["imatrix"] is True, "a value is still a boolean"


def test_a_file_that_no_recipe_can_be_named_after_is_refused(folder: Path) -> None:
    (folder / "My-Recipe.yaml").write_text(yaml.safe_dump(SOUND))
    with pytest.raises(InvalidRecipe, match=r"^My-Recipe\.yaml: name: 'My-Recipe' is not a name for .*; rename it\.$"):
        load_recipe(folder / "My-Recipe.yaml")


def test_a_bound_below_zero_is_taken_where_the_number_can_be_there(folder: Path) -> None:
    gate = {"metric": "delta_ln_perplexity", "maximum": -0.01, "reason": "better than the source, for this test"}
    assert load(folder, gates=[*SOUND["gates"], gate]).own_gates[-1].maximum == -0.01


def test_a_text_without_quotes_is_told_with_what_helps(folder: Path) -> None:
    (folder / "bad.yaml").write_text("description: x: y")
    with pytest.raises(InvalidRecipe) as refused:
        load_recipe(folder / "bad.yaml")
    assert str(refused.value) == (
        "bad.yaml is not valid YAML: mapping values are not allowed here (line 1, column 15); correct that line, or "
        "put its text in quotes."
    )


def test_broken_yaml_is_told_with_its_place(folder: Path) -> None:
    (folder / "bad.yaml").write_text("targets: [a\ngates: b")
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml is not valid YAML: .*line 2"):
        load_recipe(folder / "bad.yaml")


def test_a_key_that_is_there_twice_is_refused(folder: Path) -> None:
    (folder / "bad.yaml").write_text(yaml.safe_dump(SOUND) + "\ntargets: [gguf-q8_0]\n")
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml is not valid YAML: .*'targets' appears twice.*line"):
        load_recipe(folder / "bad.yaml")


def test_a_recipe_that_is_no_text_is_told(folder: Path) -> None:
    (folder / "bad.yaml").write_bytes(b"description: \xff\xfe")
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml is not valid YAML"):
        load_recipe(folder / "bad.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("description: !!python/object/apply:os.system ['touch ran']\n", "bad.yaml is not valid YAML"),
        ("description: !!python/name:os.system\n", "bad.yaml is not valid YAML"),
        ("description: !<tag:yaml.org,2002:python/object/new:os.system> [x]\n", "bad.yaml is not valid YAML"),
        ("description: !!timestamp x\n", "does not fit its tag"),
        ("description: !!bool x\n", "does not fit its tag"),
        ("description: !!int x\n", "bad.yaml is not valid YAML"),
        ("targets: " + "[" * 5000 + "]" * 5000, "bad.yaml"),
        ("targets: " + "{a: " * 3000 + "}" * 3000, "bad.yaml"),
        ("timeout_hours: " + "9" * 5000, "bad.yaml"),
        ('description: "\\ud800"\n', "bad.yaml"),
        ("? [a, b]\n: c\n", "not the name of a field|unhashable"),
        ("1: a\n", "not the name of a field"),
        ("description: a\0b\n", "bad.yaml is not valid YAML"),
        ("#" * 200_000, "larger than 100000 bytes"),
        ("folder: /etc\n", "folder: this comes from the file's path"),
    ],
    ids=lambda value: value[:30].encode("ascii", "backslashreplace").decode(),
)
def test_yaml_that_bites_is_refused_at_once(
    folder: Path, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "bad.yaml").write_text(text)
    with pytest.raises(InvalidRecipe, match=said) as refused:
        load_recipe(folder / "bad.yaml")
    assert str(refused.value).isprintable() and len(str(refused.value)) < 1600
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_than_utf_8_is_refused(folder: Path, encoding: str) -> None:
    (folder / "bad.yaml").write_bytes("description: Bänke\n".encode(encoding))
    with pytest.raises(InvalidRecipe, match=r"bad\.yaml is not valid YAML"):
        load_recipe(folder / "bad.yaml")


def test_what_looks_like_a_date_is_text(folder: Path) -> None:
    dated = yaml.safe_dump({**SOUND, "description": "x"}).replace("description: x", "description: 2026-13-41")
    (folder / "dated.yaml").write_text(dated)
    assert load_recipe(folder / "dated.yaml").description == "2026-13-41"


def test_one_target_may_be_made_in_two_ways(folder: Path) -> None:
    targets = ["gguf-q4_k_m", {"gguf-q4_k_m": {"as": "q4_k_m-plain", "imatrix": False}}]
    gates = [
        {"metric": "kld_mean", "maximum": 0.05, "reason": "for every target"},
        {"metric": "kld_mean", "maximum": 0.1, "targets": "*-plain", "reason": "for the plain one"},
    ]
    (folder / "two.yaml").write_text(yaml.safe_dump({**SOUND, "targets": targets, "gates": gates, "required": ["*"]}))
    weighted, plain = load_recipe(folder / "two.yaml").targets
    assert (weighted.name, plain.name) == ("gguf-q4_k_m", "q4_k_m-plain")
    assert weighted.scheme == plain.scheme and weighted.requires != plain.requires
    (folder / "same.yaml").write_text(yaml.safe_dump({**SOUND, "targets": [targets[0], targets[0]], "gates": gates}))
    with pytest.raises(InvalidRecipe, match=r"the target 'gguf-q4_k_m' is listed twice"):
        load_recipe(folder / "same.yaml")


def test_a_gate_on_a_long_window_that_the_recipe_leaves_out_is_refused(folder: Path) -> None:
    gates = [*SOUND["gates"], {"metric": "kld_long", "maximum": 0.05, "reason": "one more for this test"}]
    assert load(folder, gates=gates).evaluation.long_window_tokens > 0
    with pytest.raises(
        InvalidRecipe, match=r"'kld_long' is not measured if 'evaluation\.long_window_tokens' is 0; rem"
    ):
        load(folder, gates=gates, evaluation={"long_window_tokens": 0})
