import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.checkpoint.ends import end_ids


def folder_of(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("files", "tokenizer", "ends"),
    [
        ({"config": {"eos_token_id": 1}, "generation_config": {"eos_token_id": [1, 4]}}, 7, [1, 4, 7]),
        ({"config": {"eos_token_id": 2}}, None, [2]),
        ({"config": {"text_config": {"eos_token_id": [5, 3]}}}, 3, [3, 5]),
        ({"config": {}}, 9, [9]),
        ({"config": {}}, None, []),
        ({"config": {"eos_token_id": -1}, "generation_config": {"eos_token_id": [None, 4, True, "5"]}}, None, [4]),
        ({"config": {"text_config": None}}, None, []),
    ],
)
def test_ends_are_gathered_from_every_file(
    tmp_path: Path, files: dict[str, Any], tokenizer: int | None, ends: list[int]
) -> None:
    assert end_ids(folder_of(tmp_path, **files), SimpleNamespace(eos_token_id=tokenizer)) == ends
