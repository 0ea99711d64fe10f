import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.evaluation.divergence import CHUNK_ELEMENTS, chunk_rows, compare_rows, compare_top_rows
from tests.tasks.evaluation.rows import log_softmax

Wide = NDArray[np.float64]


def direct(source: Wide, artifact: Wide) -> Wide:
    divergence: Wide = (np.exp(source) * (source - artifact)).sum(axis=1)
    return divergence


@pytest.fixture
def pair() -> tuple[Wide, Wide, NDArray[np.int32]]:
    random = np.random.default_rng(0)
    logits = random.standard_normal((23, 501)) * 4
    targets = random.integers(0, 501, 23).astype(np.int32)
    return logits, log_softmax(logits + random.standard_normal(logits.shape) * 0.3), targets


def test_agrees_with_a_direct_computation_in_float64(pair: tuple[Wide, Wide, NDArray[np.int32]]) -> None:
    logits, artifact, targets = pair
    scores = compare_rows(logits.astype(np.float32), artifact.astype(np.float32), targets)
    source = log_softmax(logits)
    np.testing.assert_allclose(scores.kld, direct(source, artifact), rtol=1e-5, atol=3e-7)
    np.testing.assert_allclose(scores.reference_nll, -source[np.arange(23), targets], atol=1e-5)
    np.testing.assert_allclose(scores.nll, -artifact[np.arange(23), targets], atol=1e-5)
    np.testing.assert_array_equal(scores.agrees, source.argmax(axis=1) == artifact.argmax(axis=1))
    assert not scores.agrees.all()


def test_a_known_divergence() -> None:
    source = np.log(np.array([[0.5, 0.25, 0.25]]))
    artifact = np.log(np.array([[0.25, 0.5, 0.25]])).astype(np.float32)
    scores = compare_rows(source.astype(np.float32) + np.float32(5), artifact, np.array([0], np.int32))
    assert scores.kld[0] == pytest.approx(0.25 * np.log(2), abs=1e-7)
    assert scores.nll[0] == pytest.approx(np.log(4))


def test_small_divergences_over_a_large_vocabulary_survive_float32() -> None:
    random = np.random.default_rng(1)
    logits = random.standard_normal((4, 60_000)) * 3
    source = log_softmax(logits)
    artifact = log_softmax(logits + random.standard_normal(logits.shape) * 3e-3)
    scores = compare_rows(logits.astype(np.float32), artifact.astype(np.float32), np.zeros(4, np.int32))
    expected = direct(source, artifact)
    assert expected.max() < 6e-6
    np.testing.assert_allclose(scores.kld, expected, atol=4e-7)


def test_what_is_equal_has_no_divergence() -> None:
    logits = np.random.default_rng(2).standard_normal((8, 5000)) * 5
    scores = compare_rows(logits.astype(np.float32), log_softmax(logits).astype(np.float32), np.zeros(8, np.int32))
    assert scores.kld.min() >= 0 and scores.kld.max() < 5e-7
    assert scores.agrees.all()


def test_a_constant_of_a_row_does_not_pass_for_divergence(pair: tuple[Wide, Wide, NDArray[np.int32]]) -> None:
    logits, _, targets = pair
    for offset in (-2e-5, 2e-5, 8):
        artifact = (log_softmax(logits) + offset).astype(np.float32)
        assert compare_rows(logits.astype(np.float32), artifact, targets).kld.max() < 5e-7


def test_mass_on_padding_is_reported_and_counts_as_lost(pair: tuple[Wide, Wide, NDArray[np.int32]]) -> None:
    logits, artifact, targets = pair
    padded = np.concatenate([artifact + np.log(0.9), np.full((23, 2), np.log(0.05))], axis=1).astype(np.float32)
    scores = compare_rows(logits.astype(np.float32), padded, targets)
    np.testing.assert_allclose(scores.excess, 0.1, rtol=1e-5)
    np.testing.assert_allclose(scores.kld, direct(log_softmax(logits), artifact) - np.log(0.9), rtol=1e-4)


def top_of(source: Wide, kept: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    ids = np.argsort(-source, axis=1)[:, :kept]
    return ids.astype(np.int32), np.take_along_axis(source, ids, axis=1).astype(np.float32)


def test_top_rows_are_exact_when_all_are_kept_and_a_lower_bound_otherwise(
    pair: tuple[Wide, Wide, NDArray[np.int32]],
) -> None:
    logits, artifact, targets = pair
    source = log_softmax(logits)
    nll = -source[np.arange(23), targets].astype(np.float32)
    expected = direct(source, artifact)
    rows = artifact.astype(np.float32)
    complete = compare_top_rows(*top_of(source, 501), nll, rows, targets, 501)
    np.testing.assert_allclose(complete.kld, expected, rtol=1e-4)
    few = compare_top_rows(*top_of(source, 20), nll, rows, targets, 501)
    assert (few.kld <= expected + 1e-9).all()
    assert few.kld.mean() > 0.5 * expected.mean()
    np.testing.assert_array_equal(few.agrees, source.argmax(axis=1) == artifact.argmax(axis=1))
    same = compare_top_rows(*top_of(source, 20), nll, source.astype(np.float32), targets, 501)
    assert same.kld.min() >= 0 and same.kld.max() < 5e-7


def test_top_rows_have_the_mass_on_padding_and_the_tokens_that_followed(
    pair: tuple[Wide, Wide, NDArray[np.int32]],
) -> None:
    logits, artifact, targets = pair
    padded = np.concatenate([artifact + np.log(0.9), np.full((23, 2), np.log(0.05))], axis=1) + 3
    top, nll = top_of(log_softmax(logits), 20), np.arange(23, dtype=np.float32)
    scores = compare_top_rows(*top, nll, padded.astype(np.float32), targets, 501)
    np.testing.assert_allclose(scores.excess, 0.1, rtol=1e-5)
    np.testing.assert_allclose(scores.nll, -artifact[np.arange(23), targets] - np.log(0.9), atol=1e-5)
    np.testing.assert_array_equal(scores.reference_nll, nll)


def test_a_row_is_compared_however_long_it_is() -> None:
    assert [chunk_rows(length) for length in (CHUNK_ELEMENTS // 4, CHUNK_ELEMENTS, CHUNK_ELEMENTS + 1)] == [4, 1, 1]


def test_a_lost_rest_counts_as_no_less_than_float32_resolves() -> None:
    source = log_softmax(np.array([[30.0, 20.0, 20.0, 17.8, 17.8]]))
    artifact = np.array([[0.0, *source[0, 1:3], -120.0, -120.0]]).astype(np.float32)
    scores = compare_top_rows(
        *top_of(source, 3), np.zeros(1, np.float32), artifact, np.zeros(1, np.int32), source.shape[1]
    )
    assert 1e-5 < scores.kld[0] < 1e-4
