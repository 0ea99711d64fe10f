"""A model that only code of its repository can build is refused before anyone is asked to read that code."""

from pathlib import Path
from typing import Any

import pytest
import transformers

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Refused, Unsupported
from tasks.source.analyze import analyze
from tasks.source.checks.needed_code import check_needed_code
from tasks.source.parameters import AnalyzeParameters, ScanParameters
from tasks.source.scan import scan
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.context import make_context

pytestmark = pytest.mark.runtime("torch")

COMMIT = "0" * 40
PARAMETERS = ScanParameters(repository="a/b", commit=COMMIT)
ALLOWING = ScanParameters.model_validate({**PARAMETERS.model_dump(), "code": [{"repository": "a/b", "commit": COMMIT}]})
AUTO_MAP = {"auto_map": {"AutoModelForCausalLM": "modeling_x.Model"}}


def with_code(folder: Path, **config: Any) -> Path:
    make_checkpoint(folder, config={**AUTO_MAP, **config})
    (folder / "modeling_x.py").write_text("class Model: ...\n")
    return folder


@pytest.mark.parametrize("parameters", [PARAMETERS, ALLOWING])
@pytest.mark.parametrize("model_type", ["novel", "llama", "t5"])
def test_no_line_of_the_recipe_releases_a_model_that_needs_code(
    tmp_path: Path, parameters: ScanParameters, model_type: str
) -> None:
    folder = with_code(tmp_path / "snapshot", model_type=model_type, architectures=["NovelForCausalLM"])
    with pytest.raises(Unsupported) as refused:
        scan(parameters, make_context(tmp_path, {"snapshot": folder}))
    assert str(refused.value) == (
        f"config.json: transformers {transformers.__version__} has no causal language model NovelForCausalLM of type "
        f"{model_type}, so the model needs Python code of its repository (auto_map), which Hallmark never executes; "
        "release another model."
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "qwen2", "architectures": ["Qwen2ForSequenceClassification"]}, "names Qwen2ForSequenceClassif"),
        (
            {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
            "has an encoder for the text that",
        ),
    ],
)
def test_a_model_of_another_kind_is_called_so(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        check_needed_code(Snapshot(with_code(tmp_path, **config)), PARAMETERS)


@pytest.mark.parametrize("config", [{}, {"architectures": []}, {"architectures": None}, {"architectures": "X"}])
def test_whoever_follows_the_advice_has_a_model_that_needs_no_code(tmp_path: Path, config: dict[str, Any]) -> None:
    folder = with_code(tmp_path / "snapshot", **config)
    with pytest.raises(Refused, match=r"\(modeling_x\.Model\), which Hallmark never executes; to release the model w"):
        scan(PARAMETERS, make_context(tmp_path / "first", {"snapshot": folder}))
    assert scan(ALLOWING, make_context(tmp_path / "second", {"snapshot": folder}))["checks"]["needed code"] == "passed"
    assert not analyze(AnalyzeParameters(), make_context(tmp_path / "third", {"snapshot": folder}))["needs_code"]


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [("mpt", "MPTForCausalLM"), ("phimoe", "PhiMoEForCausalLM"), ("phi3", "Phi3ForCausalLM")],
)
def test_published_models_whose_code_transformers_has_by_now_are_taken(
    tmp_path: Path, model_type: str, architecture: str
) -> None:
    folder = with_code(tmp_path, model_type=model_type, architectures=[architecture])
    assert check_needed_code(Snapshot(folder), PARAMETERS)[1] is True


def test_without_code_there_is_nothing_to_check(tmp_path: Path) -> None:
    assert check_needed_code(Snapshot(make_checkpoint(tmp_path)), PARAMETERS)[1] is False
