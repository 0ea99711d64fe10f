import json
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.ends import end_ids


@pytest.mark.parametrize(
    ("generation", "ends"),
    [({"eos_token_id": [4, 1]}, [1, 4]), ({"eos_token_id": 2}, [2]), ({"temperature": 1.0}, []), (None, [])],
)
def test_a_view_names_every_end_in_one_place(
    tmp_path: Path, generation: dict[str, Any] | None, ends: list[int]
) -> None:
    (tmp_path / "config.json").write_text('{"eos_token_id": 9}')
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    assert end_ids(tmp_path) == ends
