"""What an architecture cannot become is refused by the plan, in one sentence, before anything is converted."""

from collections.abc import Callable
from functools import cache

import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.formats.registry import parse_target
from tasks.plan.parameters import PreflightParameters
from tasks.plan.preflight import make_plan
from tasks.pools import Pool
from tests.fixtures.source import source_inputs
from tests.matrix.cases import all_refused
from tests.matrix.make import write_source

pytestmark = pytest.mark.runtime("torch")

ROWS = [(arch, target, row.reason) for row in all_refused() for arch in row.architectures for target in row.targets]
LARGE = 10**12
HERE = Pool.model_validate({"name": "cpu", "slots": 2, "memory_bytes": LARGE, "hardware": "a processor"})


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Analysis]:
    folder = tmp_path_factory.mktemp("refused")

    @cache
    def analysis(arch: str) -> Analysis:
        root = folder / arch
        write_source(root, arch)
        output = source_inputs(root / "snapshot", root / "analysis")["analysis"]
        return Analysis.read_file(output / "analysis.json", "analysis.json")

    return analysis


@pytest.mark.parametrize(("arch", "target", "reason"), ROWS)
def test_the_plan_says_why(analyzed: Callable[[str], Analysis], arch: str, target: str, reason: str) -> None:
    parameters = PreflightParameters(
        targets=(parse_target(target),), pools=(HERE,), disk_bytes=LARGE, text_bytes=10_000, chosen=(target,)
    )
    planned = make_plan(parameters, analyzed(arch)).targets[-1]
    assert planned.name == target and not planned.made
    assert reason in planned.reason
    assert "\n" not in planned.reason
    assert "leave " in planned.reason.lower()
