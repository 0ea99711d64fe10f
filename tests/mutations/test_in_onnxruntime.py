"""A sample of the mutants that are judged in the runtime onnxruntime."""

from pathlib import Path

import pytest

from tests.mutations.check import check_sample

pytestmark = [pytest.mark.runtime("onnxruntime"), pytest.mark.timeout(800)]


@pytest.mark.parametrize(("place", "source"), [("onnx-fp32", "granite"), ("onnx-int8", "llama")])
def test_no_mutant_gets_through_unseen(tmp_path: Path, place: str, source: str) -> None:
    check_sample(tmp_path, source, place)
