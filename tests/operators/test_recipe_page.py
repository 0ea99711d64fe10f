"""The page of a recipe's DAG has every target with its demand and every gate with its reason."""

from operators.recipe_page import recipe_page
from tests.operators.conftest import MakeRecipe


def test_it_shows_what_is_demanded_and_why(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(
        "gguf-q8_0",
        "gguf-q2_k",
        "onnx-fp32",
        models=["acme/model"],
        required=["gguf-q8_0"],
        expect_blocked=["gguf-q2_k"],
        gates=[
            {"metric": "kld_mean", "maximum": 0.05, "reason": "beyond | another *model*"},
            {"metric": "top1_agreement", "minimum": 0.9, "targets": "gguf-*", "reason": "a bound for tests"},
        ],
    )
    page = recipe_page(recipe)
    assert "**Models:** acme/model. **Licences:** mit." in page
    for row in (
        "| gguf-q8_0 | llama.cpp | passes |",
        "| gguf-q2_k | llama.cpp | is blocked |",
        "| onnx-fp32 | onnxruntime | - |",
        r"| KLD mean | ≤ 0.05 | all | beyond \| another \*model\* |",
        r"| top-1 agreement | ≥ 90% | gguf-\* | a bound for tests |",
    ):
        assert f"{row}\n" in page


def test_without_models_and_with_any_licence(make_recipe: MakeRecipe) -> None:
    page = recipe_page(make_recipe("gguf-q8_0", licences=["*"]))
    assert "**Models:** named at the trigger. **Licences:** any." in page


def test_the_default_gates_are_shown_by_target_and_size(make_recipe: MakeRecipe) -> None:
    own = {"metric": "kld_p99", "maximum": 0.4, "targets": "gguf-q4_0", "reason": "replaces the default"}
    page = recipe_page(make_recipe("gguf-q4_0", "gguf-q4_k_m", "gguf-q8_0", gates=["defaults", own]))
    assert "they are for models of these numbers of parameters: below 10 M; below 5 B; larger." in page
    for row in (
        "| KLD mean; KLD long | ≤ 0.0085; ≤ 0.08; ≤ 0.06 | gguf-q4_0, gguf-q4_k_m |",
        "| KLD p99 | ≤ 0.12; ≤ 0.6; ≤ 0.6 | gguf-q4_k_m |",
        "| KLD mean; KLD long | ≤ 0.0004; ≤ 0.008; ≤ 0.002 | gguf-q8_0 |",
        "| KLD p99 | ≤ 0.4 | gguf-q4_0 | replaces the default |",
    ):
        assert f"{row}\n" in page
    assert "continuation parity | ≥ 100% | all |\n" in page


def test_without_defaults_none_are_shown(make_recipe: MakeRecipe) -> None:
    page = recipe_page(make_recipe("gguf-q8_0"))
    assert "default gate" not in page
    assert "| KLD mean | ≤ 0.05 | all | a bound for tests |\n" in page
