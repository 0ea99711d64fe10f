"""A model that transformers has needs no code of its repository, which may hold the one it first came out with."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("transformers")

from tasks.checkpoint.known_models import (
    is_bare,
    is_built,
    is_class,
    is_language_model,
    ties_head_alone,
    ties_unless_told,
)
from tasks.source.analyze import analyze
from tasks.source.parameters import AnalyzeParameters
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.context import make_context


@pytest.mark.parametrize(
    ("model_type", "architecture", "needs_code"),
    [
        ("llama", "LlamaForCausalLM", False),
        ("phi3", "Phi3ForCausalLM", False),
        ("llama", "NovelForCausalLM", True),
        ("novel", "NovelForCausalLM", True),
    ],
)
def test_only_what_transformers_has_not(tmp_path: Path, model_type: str, architecture: str, needs_code: bool) -> None:
    config = {
        "model_type": model_type,
        "architectures": [architecture],
        "auto_map": {"AutoModelForCausalLM": f"modeling.{architecture}"},
    }
    snapshot = make_checkpoint(tmp_path / "snapshot", config=config)
    facts = analyze(AnalyzeParameters(), make_context(tmp_path / "work", {"snapshot": snapshot}))
    assert facts["needs_code"] is needs_code


@pytest.mark.parametrize(
    ("model_type", "architecture", "whole"),
    [
        ("llama", "LlamaForCausalLM", True),
        ("llama", "LlamaModel", True),
        ("llama", "unknown", True),
        ("gemma3", "Gemma3ForConditionalGeneration", True),
        ("mllama", "MllamaForCausalLM", True),
        ("mllama", "MllamaForConditionalGeneration", False),
        ("t5", "T5ForConditionalGeneration", False),
        ("novel", "NovelForCausalLM", False),
    ],
)
def test_a_checkpoint_of_which_transformers_builds_a_part_is_not_one_language_model(
    model_type: str, architecture: str, whole: bool
) -> None:
    assert is_built(architecture, model_type) is whole


@pytest.mark.parametrize(("model_type", "known"), [("llama", True), ("mllama", True), ("t5", False), ("Llama", False)])
def test_a_type_with_a_causal_language_model_of_its_own(model_type: str, known: bool) -> None:
    assert is_language_model(model_type) is known


@pytest.mark.parametrize(
    ("model_type", "tied", "alone"),
    [
        ("llama", False, True),
        ("gemma", True, True),
        ("gpt2", True, True),
        ("bert", True, False),
        ("novel", False, False),
    ],
)
def test_what_a_type_ties(model_type: str, tied: bool, alone: bool) -> None:
    assert (ties_unless_told(model_type), ties_head_alone(model_type)) == (tied, alone)


@pytest.mark.parametrize(
    ("name", "known", "bare"),
    [
        ("LlamaForCausalLM", True, False),
        ("LlamaModel", True, True),
        ("FunnelBaseModel", True, True),
        ("XLMWithLMHeadModel", True, False),
        ("Llama4ForConditionalGeneration", True, False),
        ("BertForMaskedLM", True, False),
        ("FSDPLlamaForCausalLM", False, False),
        ("", False, False),
    ],
)
def test_the_names_of_classes(name: str, known: bool, bare: bool) -> None:
    assert (is_class(name), is_bare(name)) == (known, bare)
