"""The matrix's cases whose engine lives in the runtime llama-cpp."""

from pathlib import Path

import pytest

from tasks.engines.llama_cpp.build import llama_cpp
from tests.matrix.by_oracle import check_ids, check_numbers, evaluated
from tests.matrix.cases import Case, cases_of
from tests.matrix.check import cases_in, check, make_all
from tests.oracle.in_llama_server import serving

pytestmark = [pytest.mark.runtime("llama-cpp"), pytest.mark.timeout(800)]

FLOAT16, EIGHT_BITS = 2.0**-11, 2.0**-10
"""Keys, values and the inputs of products are rounded to float16, or to 8 bits where the weights are quantized. The
server reads one token at a time and evaluation reads blocks, so their sums differ in the last bits before they are
rounded. Few inputs fall to another step of the 8 bits by that."""


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    make_all(folder, cases_in(request))
    return folder


@pytest.mark.parametrize("case", cases_of("llama-cpp"), ids=str)
def test_an_artifact_says_what_its_source_says(made: Path, case: Case) -> None:
    check(case, made)


@pytest.mark.parametrize("case", cases_of("llama-cpp"), ids=str)
def test_its_evaluation_is_what_the_oracle_finds(made: Path, case: Case, tmp_path: Path) -> None:
    output = made / case.arch / case.target / "output"
    reported = evaluated(case, made, tmp_path)
    with serving(llama_cpp().bin / "llama-server", output, tmp_path / "server.log") as server:
        check_numbers(case, made, reported, server.rows, FLOAT16 if case.target == "gguf-f16" else EIGHT_BITS)
        check_ids(case, made, reported, server.cut)
