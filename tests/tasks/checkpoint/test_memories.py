"""The lists of families are those of the transformers that converts. Its source is read; imports would take long."""

import ast
from functools import cache
from pathlib import Path

import pytest
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tasks.checkpoint.memories import STATEFUL, WITHOUT_KEYS_AND_VALUES

pytestmark = pytest.mark.runtime("torch")

MODELS = Path(transformers.__file__).parent / "models"
CLASSES = {name: family for family, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items() if isinstance(name, str)}


@cache
def sources() -> dict[str, str]:
    return {path.parent.name: path.read_text(encoding="utf-8") for path in sorted(MODELS.glob("*/modeling_*.py"))}


def takes_keys_and_values(model: ast.ClassDef) -> bool:
    """Whether its `forward` has the argument; a class that inherits its `forward` counts as one that takes it."""
    for function in model.body:
        if isinstance(function, ast.FunctionDef) and function.name == "forward":
            return "past_key_values" in {argument.arg for argument in function.args.args + function.args.kwonlyargs}
    return True


def test_models_without_keys_and_values_are_listed() -> None:
    models = [node for text in sources().values() for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    without = {CLASSES[model.name] for model in models if model.name in CLASSES and not takes_keys_and_values(model)}
    assert without == WITHOUT_KEYS_AND_VALUES


def test_every_family_that_calls_itself_stateful_is_listed() -> None:
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    stateful = {family for family, text in sources().items() if family in known and "_is_stateful = True" in text}
    assert stateful and stateful <= STATEFUL
    assert known >= STATEFUL
