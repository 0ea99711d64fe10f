"""The script that builds a model says which stage it is in, and answers in the libraries' own words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("transformers")

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Unsupported
from tasks.source.checks import build_model
from tasks.source.checks.build_model import build, describe
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.forked import run

NONE: dict[str, list[Any]] = {"missing": [], "unexpected": [], "mismatched": [], "unconverted": []}
SOUND = {"class": "LlamaForCausalLM", "differences": NONE, "quantized": []}
IN_PART = {"model_type": "mllama", "architectures": ["MllamaForConditionalGeneration"]}
"""A model that also reads images."""


def question(folder: Path, tokenizer: bool = True) -> dict[str, Any]:
    tensors = Snapshot(folder).tensors
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    types = {name: tensor.dtype for name, tensor in tensors.items()}
    return {"folder": str(folder), "shapes": shapes, "types": types, "extra_layers": 0, "tokenizer": tokenizer}


def built(folder: Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """Build in this process; return the answer and the stages."""
    stages: list[str] = []
    return build(question(folder, **options), stages.append), stages


def test_a_sound_snapshot_goes_through_every_stage(tmp_path: Path) -> None:
    answer, stages = built(make_checkpoint(tmp_path))
    assert answer == SOUND
    assert stages == ["configuration", "generation", "tokenizer", "architecture", "weights"]


def test_without_a_tokenizer_none_is_loaded(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer.json").write_text("{")
    assert built(folder, tokenizer=False)[1] == ["configuration", "generation", "architecture", "weights"]


@pytest.mark.parametrize(("named", "kind"), [("novel", None), ("t5", "has an encoder for the text that it answers")])
def test_a_type_that_transformers_lacks_is_unknown(tmp_path: Path, named: str, kind: str | None) -> None:
    assert built(make_checkpoint(tmp_path, config={"model_type": named})) == ({"unknown": True, "kind": kind}, [])


@pytest.mark.parametrize("architectures", [["OtherForCausalLM"], None])
def test_the_class_that_transformers_builds_is_compared_whatever_the_file_names(
    tmp_path: Path, architectures: list[str] | None
) -> None:
    answer, _ = built(make_checkpoint(tmp_path, config={"architectures": architectures}))
    assert answer == SOUND


def test_a_class_of_another_kind_is_named_before_anything_is_built(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, config={"architectures": ["LlamaForSequenceClassification"]})
    assert built(folder) == ({"other": "classifies texts"}, [])


def test_a_model_that_reads_both_ways_is_not_built(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, config={"is_causal": False})
    assert built(folder) == ({"both_ways": "is_causal is false"}, ["configuration"])


def test_a_window_without_a_size_is_named_before_anything_is_built(tmp_path: Path) -> None:
    layers = {"layer_types": ["full_attention", "sliding_attention"], "use_sliding_window": False, "sliding_window": 8}
    folder = make_checkpoint(tmp_path, config={"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], **layers})
    answer, stages = built(folder)
    error = "layer_types names sliding_attention, and sliding_window is null"
    assert (answer, stages) == ({"stage": "configuration", "error": error}, ["configuration"])


def test_a_model_of_which_only_the_part_for_text_is_built_is_not_compared(tmp_path: Path) -> None:
    answer, stages = built(make_checkpoint(tmp_path, config=IN_PART))
    assert answer == {"differences": None} and stages[-1] == "tokenizer"


def test_code_that_is_not_executed_changes_no_answer(tmp_path: Path) -> None:
    code = {"auto_map": {"AutoModelForCausalLM": "modeling_x.LlamaForCausalLM"}}
    assert built(make_checkpoint(tmp_path / "sound", config=code))[0] == SOUND
    both = make_checkpoint(tmp_path / "both", config={**code, "is_causal": False})
    assert built(both)[0] == {"both_ways": "is_causal is false"}


def test_a_surplus_tensor_is_a_difference(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.q_proj.bias"
    answer, _ = built(make_checkpoint(tmp_path, tensors={name: np.ones(64, np.float32)}))
    assert answer["differences"] == {**NONE, "unexpected": [name]}


def test_an_error_is_the_last_answer_with_its_stage(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, config={"rope_scaling": {"rope_type": "novel", "factor": 2.0}})
    status, said, _ = run(Path(build_model.__file__), (), json.dumps(question(folder)).encode())
    answers = [json.loads(line) for line in said.splitlines()]
    assert [answer["stage"] for answer in answers] == [
        "configuration",
        "generation",
        "tokenizer",
        *["architecture"] * 2,
    ]
    assert "novel" in answers[-1]["error"] and not status


def test_its_own_error_gives_the_word_to_the_library() -> None:
    try:
        try:
            raise ValueError("the  words of\na library")
        except ValueError as error:
            raise Unsupported("ours") from error
    except Unsupported as error:
        assert describe(error) == "the words of a library"
    assert describe(Corrupt("ours without a cause")) == "ours without a cause"
    assert describe(KeyError("rope")) == "KeyError: 'rope'"
    assert describe(RuntimeError()) == "RuntimeError"
