"""A fault in the code that measures is seen: the oracle then finds other numbers than evaluation reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.engines.transformers.serving import TransformersEngine
from tasks.evaluation import reference
from tests.matrix.by_oracle import check_ids, check_numbers, evaluated
from tests.matrix.cases import Case
from tests.matrix.make import convert, write_reference, write_source
from tests.oracle.in_transformers import rows
from tests.oracle.windows import cut_by_file

pytestmark = pytest.mark.runtime("torch")

CASE = Case("llama", "safetensors-bf16", "transformers", 0.001)
advance, tokenize = TransformersEngine.advance, TransformersEngine.tokenize


def one_row_late(engine: Any, state: Any, token_ids: Any, last_only: bool = False) -> Any:
    return np.roll(advance(engine, state, token_ids, last_only), 1, axis=0)


def without_the_past(engine: Any, state: Any, token_ids: Any, last_only: bool = False) -> Any:
    state.cache = None
    return advance(engine, state, token_ids, last_only)


def opened(engine: Any, text: str, add_special_tokens: bool = False) -> list[int]:
    return tokenize(engine, text, True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    root = folder / CASE.arch
    write_source(root, CASE.arch)
    write_reference(root)
    convert(root, CASE.parsed, root / CASE.target)
    return folder


def check(made: Path, work: Path) -> None:
    output, reported = made / CASE.arch / CASE.target / "output", evaluated(CASE, made, work)
    check_numbers(CASE, made, reported, lambda tokens: rows(output, tokens, torch.bfloat16))
    check_ids(CASE, made, reported, cut_by_file(output))


def test_without_a_fault_both_agree(made: Path, tmp_path: Path) -> None:
    check(made, tmp_path)


@pytest.mark.parametrize(
    ("name", "fault", "seen"),
    [
        ("advance", one_row_late, "^perplexity"),
        ("advance", without_the_past, "^kld_long"),
        ("tokenize", opened, "^tokenizer_parity"),
    ],
)
def test_a_fault_of_the_runner_is_seen(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: Callable[..., Any], seen: str
) -> None:
    monkeypatch.setattr(TransformersEngine, name, fault)
    with pytest.raises(AssertionError, match=seen):
        check(made, tmp_path)


def test_a_reference_that_drops_the_first_token_is_seen(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / CASE.arch
    write_source(root, CASE.arch)
    monkeypatch.setattr(reference, "first_token_ids", lambda tokenizer: [])
    write_reference(root)
    convert(root, CASE.parsed, root / CASE.target)
    with pytest.raises(AssertionError, match="^reference_perplexity"):
        check(tmp_path, tmp_path / "work")
