"""A few rounds of `make chaos`: one of each kind of victim, at the moments where most could go wrong.

They have a stack of their own, for it has proxies; the whole of it takes about five minutes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.faults import Fault
from tests.chaos.harness import play
from tests.chaos.stack import ChaosStack, chaos_stack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

FAULTS = (
    Fault("job", "just after a manifest"),
    Fault("scheduler", "while converting"),
    Fault("mlflow", "as a version is made"),
    Fault("s3", "just after a manifest"),
)


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosStack]:
    """The stack with its proxies, once for all rounds."""
    with chaos_stack(tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_release_recovers_and_nothing_is_lost_or_done_twice(chaos: ChaosStack, fault: Fault, tmp_path: Path) -> None:
    outcome = play(chaos, fault, str(fault), tmp_path / "model")
    assert outcome.wrong == [], f"{fault}, {outcome.recovered}"
