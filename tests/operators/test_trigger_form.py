"""What the trigger's form takes, and what it refuses before any task runs."""

from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError

from operators.trigger_form import release_form
from tests.operators.conftest import MakeRecipe

MODEL = "hallmark/tiny-tales"


@pytest.fixture
def form(make_recipe: MakeRecipe) -> dict[str, Param]:
    return release_form(make_recipe("gguf-q8_0", "onnx-fp32", models=[MODEL]))


def test_defaults_release_the_first_model_whole(form: dict[str, Param]) -> None:
    given = {name: param.resolve() for name, param in form.items()}
    assert given == {
        "model": MODEL,
        "revision": "main",
        "targets": ["gguf-q8_0", "onnx-fp32"],
        "dry_run": False,
        "force": False,
    }


def test_every_field_says_what_it_is(form: dict[str, Param]) -> None:
    assert all(param.description and param.schema["title"] for param in form.values())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "acme/Model-1.5_x"),
        ("revision", "refs/pr/7"),
        ("revision", "0123456789" * 4),
        ("targets", ["onnx-fp32"]),
    ],
)
def test_what_makes_sense_is_taken(form: dict[str, Param], field: str, value: Any) -> None:
    assert form[field].resolve(value) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "tiny-tales"),
        ("model", "acme/x/y"),
        ("model", "../../etc"),
        ("model", "acme/a b"),
        ("model", "acme/my--model"),
        ("model", "acme/x\n"),
        ("model", "https://hub/acme/x"),
        ("model", ""),
        ("model", None),
        ("revision", "main; rm -rf /"),
        ("revision", ""),
        ("targets", ["gguf-q9_z"]),
        ("targets", []),
        ("targets", ["onnx-fp32", "onnx-fp32"]),
        ("targets", "onnx-fp32"),
        ("dry_run", "yes"),
        ("force", 1),
    ],
)
def test_nonsense_is_refused(form: dict[str, Param], field: str, value: Any) -> None:
    with pytest.raises(ParamValidationError):
        form[field].resolve(value)


def test_without_models_the_form_demands_one(make_recipe: MakeRecipe) -> None:
    form = release_form(make_recipe("gguf-q8_0"))
    with pytest.raises(ParamValidationError, match="No value passed"):
        form["model"].resolve()
    assert form["model"].resolve(MODEL) == MODEL
