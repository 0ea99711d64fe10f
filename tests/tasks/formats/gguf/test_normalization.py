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
def test_a_tokenizer_that_asks_for_nfc_alone_has_its_caveat(
    tmp_path: Path, normalizer: Any, caveats: list[Any]
) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"normalizer": normalizer}))
    assert normalization_caveats(tmp_path) == caveats


def test_any_other_normalization_is_named_and_explains_the_loss_that_remains_in_nfc(tmp_path: Path) -> None:
    steps = [{"type": "NFC"}, {"type": "Lowercase"}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"normalizer": {"type": "Sequence", "normalizers": steps}}))
    (caveat,) = normalization_caveats(tmp_path)
    assert caveat.text == "llama.cpp leaves the normalization of texts out (NFC, Lowercase)"
    assert (caveat.explains, caveat.only_if_whole) == ("tokenizer_parity_nfc", None)


def test_without_the_file_there_is_none(tmp_path: Path) -> None:
    assert normalization_caveats(tmp_path) == []
