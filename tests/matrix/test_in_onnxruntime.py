"""The matrix's cases whose engine lives in the runtime onnxruntime."""

from pathlib import Path

import pytest

from tests.matrix.cases import Case, cases_of
from tests.matrix.check import cases_in, check, make_all

pytestmark = [pytest.mark.runtime("onnxruntime"), pytest.mark.timeout(800)]


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    make_all(folder, cases_in(request))
    return folder


@pytest.mark.parametrize("case", cases_of("onnxruntime"), ids=str)
def test_an_artifact_says_what_its_source_says(made: Path, case: Case) -> None:
    check(case, made)
