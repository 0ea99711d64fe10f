"""The matrix's cases whose engine lives in the runtime torch."""

from pathlib import Path

import pytest
import torch

from tests.matrix.by_oracle import check_ids, check_numbers, check_source_ids, evaluated
from tests.matrix.cases import Case, cases_of
from tests.matrix.check import cases_in, check, make_all
from tests.oracle.in_transformers import rows
from tests.oracle.windows import cut_by_file, cut_by_sentencepiece

pytestmark = [pytest.mark.runtime("torch"), pytest.mark.timeout(800)]


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    make_all(folder, cases_in(request))
    return folder


@pytest.mark.parametrize("case", cases_of("torch"), ids=str)
def test_an_artifact_says_what_its_source_says(made: Path, case: Case) -> None:
    check(case, made)


@pytest.mark.parametrize("case", cases_of("torch"), ids=str)
def test_its_evaluation_is_what_the_oracle_finds(made: Path, case: Case, tmp_path: Path) -> None:
    output, reported = made / case.arch / case.target / "output", evaluated(case, made, tmp_path)
    check_numbers(case, made, reported, lambda tokens: rows(output, tokens, getattr(torch, case.arithmetic)))
    check_ids(case, made, reported, cut_by_file(output))
    if (made / case.arch / "snapshot" / "tokenizer.model").exists():
        check_source_ids(made / case.arch, "tokenizer.model", cut_by_sentencepiece(made / case.arch / "snapshot"))
