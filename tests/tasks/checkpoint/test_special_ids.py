"""Scan and the view read the ids of special tokens by one rule."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.special_ids import FIELDS, count_rows, read_special_ids, without_unused
from tasks.errors import Corrupt
from tasks.source.checks.special_tokens import check_special_tokens
from tasks.source.parameters import ScanParameters
from tasks.source.view.special_ids import settle_special_ids
from tests.fixtures.checkpoints import VOCABULARY, make_checkpoint

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)


@pytest.mark.parametrize(
    ("value", "ids", "settled"),
    [(3, [3], 3), (-1, [], None), (-100, [], None), ([2, -1], [2], [2]), ([-1], [], None), ([], [], []),
     (0, [0], 0), (None, [], None), (3.0, [3], 3), ([1.0, 2], [1, 2], [1, 2])],
)  # fmt: skip
@pytest.mark.parametrize("field", FIELDS)
def test_a_negative_id_is_none(field: str, value: Any, ids: list[int], settled: Any) -> None:
    content = {field: value, "text_config": {field: value}}
    assert read_special_ids("x: ", content, 10)[field] == ids
    assert settle_special_ids("x", content, 10) == {field: settled, "text_config": {field: settled}}


@pytest.mark.parametrize("value", [VOCABULARY, [1, VOCABULARY], float(VOCABULARY), "1", True, 1.5, float("inf")])
@pytest.mark.parametrize("field", FIELDS)
def test_scan_and_view_refuse_the_same(tmp_path: Path, field: str, value: Any) -> None:
    make_checkpoint(tmp_path, config={"text_config": {field: value}})
    snapshot = Snapshot(tmp_path)
    with pytest.raises(Corrupt, match=rf"^config\.json: text_config\.{field} is ") as scanned:
        check_special_tokens(snapshot, PARAMETERS)
    with pytest.raises(Corrupt) as settled:
        settle_special_ids("config.json", snapshot.json("config.json") or {}, count_rows(snapshot))
    assert str(settled.value) == str(scanned.value)


def test_a_field_that_is_absent_stays_absent() -> None:
    assert settle_special_ids("x", {"a": 1}, 10) == {"a": 1}


@pytest.mark.parametrize("field", ["pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id"])
def test_an_unused_id_without_a_row_leaves_the_settings_of_generation(field: str) -> None:
    used = {"bos_token_id": 10, "eos_token_id": 10, "top_k": 50}
    note = f"generation_config.json: {field} is 10, for which the model has no row; the release leaves it out."
    assert without_unused("generation_config.json", {field: 10, **used}, 10) == (used, (note,))


@pytest.mark.parametrize(
    ("file", "value", "rows"),
    [
        ("config.json", 10, 10),
        ("generation_config.json", 9, 10),
        ("generation_config.json", 10, 0),
        ("generation_config.json", [10], 10),
        ("generation_config.json", "10", 10),
        ("generation_config.json", None, 10),
    ],
)
def test_other_ids_stay(file: str, value: Any, rows: int) -> None:
    assert without_unused(file, {"pad_token_id": value}, rows) == ({"pad_token_id": value}, ())


def test_the_embedding_counts_before_the_configuration(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "vocab_size": VOCABULARY + 64}))
    assert count_rows(Snapshot(tmp_path)) == VOCABULARY


def test_packed_rows_are_not_counted(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, config={"quantization_config": {"quant_method": "gptq"}})
    assert count_rows(Snapshot(tmp_path)) == 0
