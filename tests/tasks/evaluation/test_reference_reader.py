from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.errors import Corrupt
from tasks.evaluation import divergence, reference_reader
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import ReferenceInfo
from tasks.evaluation.reference_reader import ExactReference, expand, open_reference
from tests.tasks.evaluation.rows import log_softmax
from tests.tasks.evaluation.toy import VOCABULARY, WINDOW_TOKENS, WINDOWS, ToyModel, write_reference


def test_bfloat16_bits_expand_without_loss() -> None:
    values = np.array([0.0, -0.0, 1.0, -2.5, 3.140625, 2.0**-126, 1e38, np.inf], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(expand(bits, True), expected)
    np.testing.assert_array_equal(expected[:6], values[:6])
    half = np.array([0.1, 65504.0], np.float16)
    np.testing.assert_array_equal(expand(half, False), half.astype(np.float32))


def test_log_probabilities_come_back_from_hidden_states_and_head(tmp_path: Path) -> None:
    reference = open_reference(write_reference(tmp_path / "toy"))
    assert isinstance(reference, ExactReference)
    own = ToyModel().logprobs(reference.tokens[2])
    np.testing.assert_allclose(log_softmax(reference.logits(2, 0, WINDOW_TOKENS)), own, atol=2e-6)
    rows = np.arange(WINDOW_TOKENS - 1)
    np.testing.assert_allclose(reference.negative_log_likelihood(2), -own[rows, reference.tokens[2, 1:]], atol=2e-6)


def test_bias_scale_and_soft_cap_are_applied_in_this_order(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    hidden, head, bias = (random.standard_normal(shape).astype(np.float32) for shape in ((1, 3, 4), (5, 4), (5,)))
    np.save(tmp_path / "tokens.npy", np.zeros((1, 3), np.int32))
    np.save(tmp_path / "hidden.npy", hidden)
    np.save(tmp_path / "head.npy", head)
    np.save(tmp_path / "head-bias.npy", bias)
    info = ReferenceInfo(
        kind="exact", architecture="Toy", windows=1, window_tokens=3, vocabulary_size=5, hidden_size=4,
        head_dtype="float32", scale=0.5, soft_cap=2.0, reproduction_error=0.0, perplexity=Measurement(value=1.0),
        first_token_ids=(),
    )  # fmt: skip
    expected = 2 * np.tanh((hidden[0] @ head.T + bias) * 0.5 / 2)
    np.testing.assert_allclose(ExactReference(tmp_path, info).logits(0, 0, 3), expected, rtol=1e-5)


def test_a_head_of_many_parts_is_multiplied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = open_reference(write_reference(tmp_path / "toy"))
    assert isinstance(reference, ExactReference)
    whole = reference.logits(1, 2, 30)
    monkeypatch.setattr(reference_reader, "HEAD_ROWS", 7)
    np.testing.assert_allclose(reference.logits(1, 2, 30), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kept", [None, 24])
def test_a_windows_rows_are_compared_alike_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int | None
) -> None:
    reference = open_reference(write_reference(tmp_path / "toy", kept=kept))
    artifact = ToyModel(theta=100.0).logprobs(reference.tokens[3])[:-1]
    whole = asdict(reference.compare(3, 0, artifact))
    monkeypatch.setattr(divergence, "CHUNK_ELEMENTS", 5 * VOCABULARY)
    chunks = asdict(reference.compare(3, 0, artifact))
    for name, column in whole.items():
        assert column.shape == (WINDOW_TOKENS - 1,)
        np.testing.assert_allclose(chunks[name], column, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shared", [False, True])
def test_the_head_is_read_once_for_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    reference = open_reference(write_reference(tmp_path / "toy"), folder if shared else None)
    read: list[int] = []

    def counted(stored: NDArray[Any], is_bfloat16: bool) -> NDArray[np.float32]:
        read.append(len(stored))
        return expand(stored, is_bfloat16)

    monkeypatch.setattr(reference_reader, "expand", counted)
    monkeypatch.setattr(divergence, "CHUNK_ELEMENTS", 5 * VOCABULARY)
    artifact = ToyModel().logprobs(reference.tokens[0])[:-1]
    reference.compare(0, 0, artifact)
    assert sum(read) == VOCABULARY


def test_an_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = write_reference(tmp_path / "toy")
    np.save(folder / "hidden.npy", np.zeros((1, 2, 3), np.float32))
    with pytest.raises(
        Corrupt, match=r"hidden\.npy .* the type and shape float32 \(1, 2, 3\), not float32 \(5, 33, 16\)"
    ):
        open_reference(folder)


def test_an_array_of_another_type_is_refused(tmp_path: Path) -> None:
    folder = write_reference(tmp_path / "toy")
    tokens = np.load(folder / "tokens.npy")
    np.save(folder / "tokens.npy", tokens.astype(np.int64))
    with pytest.raises(Corrupt, match=r"tokens\.npy of the reference .*int64"):
        open_reference(folder)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    folder = write_reference(tmp_path / "toy")
    np.save(folder / "head.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(Corrupt, match=r"head\.npy of the reference cannot be read"):
        open_reference(folder)


def test_a_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    folder = write_reference(tmp_path / "toy")
    text = (folder / "reference.json").read_text()
    (folder / "reference.json").write_text(text.replace('"windows": 5', '"windows": "many"'))
    with pytest.raises(Corrupt, match=r"reference\.json of the reference cannot be read: windows: "):
        open_reference(folder)


@pytest.mark.parametrize(("kept", "file"), [(None, "hidden.npy"), (24, "target-nll.npy")])
def test_a_window_with_a_number_that_is_not_finite_is_seen(tmp_path: Path, kept: int | None, file: str) -> None:
    folder = write_reference(tmp_path / "toy", kept=kept)
    array = np.load(folder / file)
    array[3, 7] = np.nan
    np.save(folder / file, array)
    reference = open_reference(folder)
    assert [window for window in range(WINDOWS) if not reference.is_finite(window)] == [3]
