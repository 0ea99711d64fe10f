import json
from pathlib import Path
from typing import Any

import pytest

from tasks.formats.gguf.normalization import NFC, normalization_caveats


@pytest.mark.parametrize(
    ("normalizer", "caveats"),
    [
        ({"type": "NFC"}, [NFC]),
        ({"type": "Sequence", "normalizers": [{"type": "Prepend"}, {"type": "NFC"}]}, [NFC]),
        ({"type": "Sequence", "normalizers": [{"type": "Prepend"}]}, []),
        (None, []),
    ],
)
def test_only_a_tokenizer_that_asks_for_nfc_has_the_caveat(tmp_path: Path, normalizer: Any, caveats: list[Any]) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"normalizer": normalizer}))
    assert normalization_caveats(tmp_path) == caveats


def test_without_the_file_there_is_none(tmp_path: Path) -> None:
    assert normalization_caveats(tmp_path) == []
