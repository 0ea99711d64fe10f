"""The id of a special token that the model does not have is named by file and field; a negative one stands for none."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.source.checks.special_tokens import check_special_tokens
from tasks.source.parameters import ScanParameters
from tests.fixtures.checkpoints import VOCABULARY, make_checkpoint

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)
LAST = VOCABULARY - 1


def check(folder: Path, config: dict[str, Any], generation: dict[str, Any]) -> tuple[str, bool]:
    make_checkpoint(folder, config=config)
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return check_special_tokens(Snapshot(folder), PARAMETERS)


@pytest.mark.parametrize("value", [0, LAST, -1, -100, None, [1, LAST], []])
@pytest.mark.parametrize("field", ["bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"])
def test_ids_that_the_model_has(tmp_path: Path, field: str, value: Any) -> None:
    assert check(tmp_path, {field: value}, {field: value})[1] is True


@pytest.mark.parametrize("field", ["bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (VOCABULARY, f"is {VOCABULARY}, but the model has {VOCABULARY} tokens"),
        ([1, VOCABULARY], f"is {VOCABULARY}, but"),
        ("1", "is '1', which is not the id of a token"),
        (True, "is True, which is not the id of a token"),
        (1.5, r"is 1\.5, which is not the id of a token"),
    ],
)
def test_ids_that_it_lacks(tmp_path: Path, field: str, value: Any, message: str) -> None:
    with pytest.raises(Corrupt, match=rf"^config\.json: {field} {message}"):
        check(tmp_path, {field: value}, {})
    if value != VOCABULARY or field in ("bos_token_id", "eos_token_id"):
        with pytest.raises(Corrupt, match=rf"^generation_config\.json: {field} {message}"):
            check(tmp_path, {}, {field: value})
    with pytest.raises(Corrupt, match=rf"^config\.json: text_config\.{field} {message}"):
        check(tmp_path, {"text_config": {field: value}}, {})


@pytest.mark.parametrize("field", ["pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id"])
def test_an_unused_id_of_generation_config_json_without_a_row_does_not_count(tmp_path: Path, field: str) -> None:
    said, _ = check(tmp_path, {}, {field: VOCABULARY})
    assert said == f"2 ids of special tokens are below {VOCABULARY}"


def test_the_ids_are_counted(tmp_path: Path) -> None:
    said, _ = check(tmp_path, {}, {"eos_token_id": [1, 2], "pad_token_id": -1})
    assert said == f"4 ids of special tokens are below {VOCABULARY}"


def test_a_quantized_embedding_has_no_size(tmp_path: Path) -> None:
    quantized = {"quantization_config": {"quant_method": "gptq"}, "pad_token_id": VOCABULARY}
    assert check(tmp_path, quantized, {})[1] is False
