"""An analysis is a record: what was kept by an earlier version is read."""

import json

import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.errors import Corrupt
from tests.tasks.formats.analyses import analysis_with


def test_lengths_are_numbers_again_when_they_are_read() -> None:
    analysis = analysis_with(row_lengths={896: 145, 4864: 24})
    assert Analysis.from_json(analysis.to_json()) == analysis
    assert json.loads(analysis.to_json())["row_lengths"] == {"896": 145, "4864": 24}
    assert analysis.model_dump(mode="json")["row_lengths"] == {"896": 145, "4864": 24}


def test_what_version_1_knew_is_kept() -> None:
    written = json.loads(analysis_with().to_json())
    del written["row_lengths"], written["schema"]
    read = Analysis.from_json(json.dumps({**written, "matrices": 169, "odd_rows": 145}))
    assert (read.matrices, read.matrices_outside_blocks(256)) == (169, 145)
    every = Analysis.from_json(json.dumps({**written, "matrices": 3, "odd_rows": 3}))
    assert (every.matrices, every.matrices_outside_blocks(256)) == (3, 3)


@pytest.mark.parametrize(
    "wrong", [{}, {"matrices": 2}, {"matrices": "2", "odd_rows": 1}, {"matrices": 1, "odd_rows": 2}]
)
def test_a_text_of_version_1_that_lacks_a_count_is_corrupt(wrong: dict[str, object]) -> None:
    written = json.loads(analysis_with().to_json())
    del written["row_lengths"], written["schema"]
    with pytest.raises(Corrupt, match=r"The analysis cannot be read: ('row_lengths' is missing|row_lengths\.256: )"):
        Analysis.read(json.dumps({**written, **wrong}), "The analysis")
