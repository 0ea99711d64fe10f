"""A sample of the mutants that are judged in the runtime torch."""

from pathlib import Path

import pytest

from tests.mutations.check import check_sample

pytestmark = [pytest.mark.runtime("torch"), pytest.mark.timeout(800)]


@pytest.mark.parametrize(("place", "source"), [("source", "granite"), ("safetensors-bf16", "gemma")])
def test_no_mutant_gets_through_unseen(tmp_path: Path, place: str, source: str) -> None:
    check_sample(tmp_path, source, place)
