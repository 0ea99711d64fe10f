"""A target and its control: the same weights need no engine, others are measured in it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.errors import Corrupt
from tasks.evaluation.control import ControlComparison
from tasks.evaluation.measurement import WindowDivergences
from tasks.formats.base import Target
from tasks.proving import compare_control as module
from tasks.proving.compare_control import compare_control
from tasks.proving.parameters import CompareControlParameters
from tests.fixtures.context import FolderContext, make_context
from tests.tasks.evaluation.toy import ToyRunner, write_reference

WINDOWS = 12
PARAMETERS = CompareControlParameters(
    target=Target(name="toy-q4", format="toy", scheme="q4", maker="toy", engines=("toy",))
)


def same_bytes(folder: Path, other: Path) -> bool:
    """Stand for a format's function."""
    return (folder / "weights.toy").read_bytes() == (other / "weights.toy").read_bytes()


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ToyRunner:
    """A control that is a little off."""
    toy = ToyRunner(distort=lambda rows: (rows * 0.98).astype(np.float32))
    monkeypatch.setattr(module, "open_artifact", lambda target, folder, threads: toy)
    monkeypatch.setattr(module, "load_format", lambda name: SimpleNamespace(same_weights=f"{__name__}:same_bytes"))
    return toy


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., FolderContext]:
    def made(control: bytes = b"rounded", kld: float = 0.1) -> FolderContext:
        folders = {name: tmp_path / name for name in ("artifact", "control", "evaluation")}
        for folder in folders.values():
            folder.mkdir()
        (folders["artifact"] / "weights.toy").write_bytes(b"calibrated")
        (folders["control"] / "weights.toy").write_bytes(control)
        kept = WindowDivergences(windows=tuple(range(WINDOWS)), kld=(kld,) * WINDOWS)
        (folders["evaluation"] / "windows.json").write_text(kept.to_json())
        reference = write_reference(tmp_path / "reference", windows=WINDOWS)
        return make_context(tmp_path / "work", {**folders, "reference": reference})

    return made


def written(context: FolderContext) -> ControlComparison:
    return ControlComparison.from_json((context.output / "control.json").read_text())


@pytest.mark.parametrize(("kld", "worse"), [(0.1, True), (0.0, False)])
def test_both_are_measured_on_the_same_windows(
    runner: ToyRunner, make: Callable[..., FolderContext], kld: float, worse: bool
) -> None:
    context = make(kld=kld)
    facts = compare_control(PARAMETERS, context)
    found = written(context)
    assert found.divergence and found.divergence.is_worse is worse and not found.unchanged
    assert found.divergence.target.value == pytest.approx(kld)
    assert facts["unchanged"] is False and facts["kld_above_control"] == pytest.approx(
        kld - facts["control_kld_mean"], rel=1e-3
    )
    assert runner.closed and context.versions == {"toy": "1.0"}


def test_the_same_weights_need_no_engine(
    runner: ToyRunner, make: Callable[..., FolderContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_artifact", lambda *_: pytest.fail("opened"))
    context = make(control=b"calibrated")
    assert compare_control(PARAMETERS, context) == {"unchanged": True, "weights_as_control": 1}
    assert written(context).unchanged and written(context).divergence is None


def test_an_evaluation_that_kept_no_windows_is_refused(runner: ToyRunner, make: Callable[..., FolderContext]) -> None:
    context = make()
    (context.folders["evaluation"] / "windows.json").unlink()
    with pytest.raises(Corrupt, match=r"windows.json of the evaluation cannot be read"):
        compare_control(PARAMETERS, context)
    assert list(context.output.iterdir()) == []


def test_a_broken_control_frees_its_engine(runner: ToyRunner, make: Callable[..., FolderContext]) -> None:
    runner.vocabulary_size = 8
    context = make()
    with pytest.raises(Corrupt):
        compare_control(PARAMETERS, context)
    assert runner.closed and list(context.output.iterdir()) == []
