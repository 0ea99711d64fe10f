"""What the reference needs is predicted from the model and the recipe's evaluation settings."""

from pathlib import Path

import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.snapshot import Snapshot
from tasks.evaluation.parameters import DISK_SHARE, EvaluationSettings
from tasks.plan.attention import attention_bytes
from tasks.plan.parameters import PreflightParameters
from tasks.plan.reference import plan_reference, predict_reference, rows_bytes, rows_fit
from tasks.pools import Pool
from tasks.source.analyze import analyze_snapshot
from tests.fixtures.checkpoints import make_checkpoint
from tests.tasks.plan.test_preflight import ALONE, GPU, HERE


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    small = analyze_snapshot(Snapshot(make_checkpoint(tmp_path / "checkpoint")))
    return small.model_copy(update=MEASURED)


MEASURED = {"parameters": 89_472_768, "vocabulary_size": 32_000, "hidden_size": 768, "row_lengths": {768: 73, 2048: 12}}
SETTINGS = EvaluationSettings(window_tokens=256, windows=40, long_window_tokens=0)


@pytest.mark.parametrize(
    ("hidden", "widest", "parameters", "long", "measured"),
    [(768, 2048, 63_514_368, 0, 677e6), (1024, 8192, 61_082_624, 0, 770e6), (1024, 8192, 61_082_624, 4608, 1192e6)],
)
def test_the_prediction_is_near_what_was_measured(
    analysis: Analysis, hidden: int, widest: int, parameters: int, long: int, measured: float
) -> None:
    """See tasks/plan/reference.py."""
    widths = {"hidden_size": hidden, "row_lengths": {hidden: 7, widest: 1}, "parameters": parameters}
    wide = analysis.model_copy(update={**widths, "context_length": 8192})
    found = predict_reference(wide, SETTINGS.model_copy(update={"windows": 8, "long_window_tokens": long}), 10**6)
    assert measured <= found.memory_bytes <= 1.12 * measured


def test_the_head_and_the_hidden_states_are_stored(analysis: Analysis) -> None:
    found = predict_reference(analysis, SETTINGS, 10**6)
    assert found.size_bytes == 2 * 32_000 * 768 + 4 * 40 * 256 * 768
    assert found.disk_bytes == found.size_bytes + 4 * 32_000 * 40 * 256


@pytest.mark.parametrize(
    ("parameters", "vocabulary", "hidden", "widest"),
    [(7_615_616_512, 152_064, 3584, 18_944), (8_030_261_248, 128_256, 4096, 14_336)],
    ids=["Qwen2.5 7B", "Llama 3 8B"],
)
def test_a_model_of_8_b_fits_a_host_of_32_gib(
    analysis: Analysis, parameters: int, vocabulary: int, hidden: int, widest: int
) -> None:
    """Linux shows at least 33.8 GB there. A copy of the output head would not fit."""
    sizes = {"parameters": parameters, "vocabulary_size": vocabulary, "hidden_size": hidden, "context_length": 8192}
    large = analysis.model_copy(update={**sizes, "row_lengths": {hidden: 200, widest: 28}})
    assert predict_reference(large, EvaluationSettings(), 10**6).memory_bytes < 33.8e9


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


@pytest.mark.parametrize(
    ("context", "window", "long", "longest"),
    [(8192, 256, 0, 256), (8192, 256, 4608, 4608), (512, 256, 4608, 512), (8192, 8192, 4608, 8192)],
    ids=["no long window", "a long window", "a short context", "long windows"],
)
def test_the_attention_scores_of_the_longest_window_are_counted(
    analysis: Analysis, context: int, window: int, long: int, longest: int
) -> None:
    settings = SETTINGS.model_copy(update={"long_window_tokens": long, "window_tokens": window})
    kinds = [{"model_type": name, "heads": 8, "context_length": context} for name in ("gemma2", "llama")]
    eager, other = (predict_reference(analysis.model_copy(update=kind), settings, 10**6).memory_bytes for kind in kinds)
    assert eager - other == attention_bytes("gemma2", 8, longest) - attention_bytes("llama", 8, longest)


@pytest.mark.parametrize(("long", "tokens"), [(0, 2048), (1024, 2048), (4608, 4608)])
def test_the_activations_of_the_tokens_that_are_read_at_once_are_counted(
    analysis: Analysis, long: int, tokens: int
) -> None:
    settings = SETTINGS.model_copy(update={"long_window_tokens": long})
    given = [
        analysis.model_copy(update={"context_length": 8192, "row_lengths": {768: 73, widest: 12}})
        for widest in (2048, 2049)
    ]
    narrow, wide = (predict_reference(one, settings, 10**6).memory_bytes for one in given)
    assert wide - narrow == 4 * 3 * tokens


def test_a_vocabulary_may_need_more_than_the_layers(analysis: Analysis) -> None:
    large, larger = (
        predict_reference(analysis.model_copy(update={"vocabulary_size": size}), SETTINGS, 10**6).memory_bytes
        for size in (1_000_000, 1_000_001)
    )
    assert larger - large == 4 * 384


def test_a_recipe_may_allow_more_windows_than_its_text_fills(analysis: Analysis) -> None:
    many = SETTINGS.model_copy(update={"windows": 100_000})
    assert (
        predict_reference(analysis, many, 40 * 256).size_bytes
        <= 1.1 * predict_reference(analysis, SETTINGS, 10**9).size_bytes
    )


def test_the_rows_are_those_of_every_token_over_the_vocabulary(analysis: Analysis) -> None:
    given = PreflightParameters(
        targets=(ALONE,), pools=(HERE,), disk_bytes=10**12, text_bytes=10**9, evaluation=SETTINGS
    )
    planned = plan_reference(given, analysis)
    assert rows_bytes(planned) == 4 * analysis.vocabulary_size * SETTINGS.windows * SETTINGS.window_tokens
    assert rows_bytes(planned.model_copy(update={"size_bytes": None})) == planned.disk_bytes


def test_the_rows_are_kept_where_they_take_less_than_their_share_of_the_disk() -> None:
    rows = 1_000_000
    assert not rows_fit(rows, int(rows / DISK_SHARE))
    assert rows_fit(rows, int(1.01 * rows / DISK_SHARE))
