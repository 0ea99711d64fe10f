"""What the reference needs is predicted from the model and the recipe's evaluation settings."""

from pathlib import Path

import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.snapshot import Snapshot
from tasks.evaluation.parameters import EvaluationSettings
from tasks.plan.attention import attention_bytes
from tasks.plan.parameters import PreflightParameters
from tasks.plan.reference import plan_reference, predict_reference
from tasks.pools import Pool
from tasks.source.analyze import analyze_snapshot
from tests.fixtures.checkpoints import make_checkpoint
from tests.tasks.plan.test_preflight import ALONE, GPU, HERE


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    small = analyze_snapshot(Snapshot(make_checkpoint(tmp_path / "checkpoint")))
    return small.model_copy(update={"parameters": 89_472_768, "vocabulary_size": 32_000, "hidden_size": 768})


SETTINGS = EvaluationSettings(window_tokens=256, windows=40, long_window_tokens=0)


def test_the_prediction_is_near_what_was_measured(analysis: Analysis) -> None:
    """834 MB of memory and 81.3 MB stored; see tasks/plan/reference.py."""
    found = predict_reference(analysis, SETTINGS, 10**6)
    assert 834e6 <= found.memory_bytes <= 1.1 * 834e6
    assert found.size_bytes == pytest.approx(81.3e6, rel=0.02)
    assert found.disk_bytes == found.size_bytes + 4 * 32_000 * 40 * 256


@pytest.mark.parametrize(
    ("pool", "disk", "made", "reason"),
    [
        (HERE.model_copy(update={"memory_bytes": 10**9}), 10**10, True, "every target is measured against it"),
        (HERE.model_copy(update={"memory_bytes": 10**9}), 10**7, False, "and 10.0 MB are free"),
        (
            HERE.model_copy(update={"memory_bytes": 10**8}),
            10**10,
            False,
            "pool cpu has 100.0 MB; give the pool",
        ),
        (GPU, 10**10, False, "it needs a processor, but no pool"),
    ],
)
def test_what_is_short_is_named(analysis: Analysis, pool: Pool, disk: int, made: bool, reason: str) -> None:
    given = PreflightParameters(targets=(ALONE,), pools=(pool,), disk_bytes=disk, text_bytes=10**6, evaluation=SETTINGS)
    planned = plan_reference(given, analysis)
    assert planned.made == made and reason in planned.reason


def test_a_long_window_is_stored_too(analysis: Analysis) -> None:
    wide = analysis.model_copy(update={"context_length": 8192})
    without, found = (
        predict_reference(wide, SETTINGS.model_copy(update={"long_window_tokens": tokens}), 10**6)
        for tokens in (0, 4096)
    )
    assert found.size_bytes - without.size_bytes == 4 * 4096 * analysis.hidden_size


def test_the_attention_scores_of_a_long_window_are_counted(analysis: Analysis) -> None:
    eager = analysis.model_copy(update={"model_type": "gemma2", "heads": 8, "context_length": 8192})
    settings = SETTINGS.model_copy(update={"long_window_tokens": 4608})
    without, found = (predict_reference(eager, one, 10**6).memory_bytes for one in (SETTINGS, settings))
    window = attention_bytes("gemma2", 8, 256)
    assert found - without + window == attention_bytes("gemma2", 8, 4608) > 1.5e9
    # The window is never longer than the context.
    short = eager.model_copy(update={"context_length": 512})
    assert predict_reference(short, settings, 10**6).memory_bytes - without + window == attention_bytes(
        "gemma2", 8, 512
    )
    # Other windows may be longer than the long one.
    wide = SETTINGS.model_copy(update={"window_tokens": 8192})
    assert predict_reference(eager, wide, 10**6).memory_bytes - without + window == attention_bytes("gemma2", 8, 8192)


def test_a_recipe_may_allow_more_windows_than_its_text_fills(analysis: Analysis) -> None:
    many = SETTINGS.model_copy(update={"windows": 100_000})
    assert (
        predict_reference(analysis, many, 40 * 256).size_bytes
        <= 1.1 * predict_reference(analysis, SETTINGS, 10**9).size_bytes
    )
