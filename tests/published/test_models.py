"""The table of published tokenizers is well-formed. Their releases are in test_in_torch.py and `make tokenizers`."""

import re

import pytest

from tests.matrix.cases import architectures
from tests.mutations.places import TARGETS
from tests.published.check import unexpected
from tests.published.fetch import FETCHED
from tests.published.models import Published, published

MODEL = Published("one", "npm", "one@1", "sha512-", "llama", {}, {}, becomes={"gguf-f16": ("blocked", "parity")})
PASSED = dict.fromkeys(TARGETS, ("passed", ""))


@pytest.mark.parametrize("name", published())
def test_a_row_names_what_there_is(name: str) -> None:
    model = published()[name]
    assert model.registry in FETCHED
    assert model.architecture in architectures()
    assert re.fullmatch(r"sha512-[\w+/]{86}==|sha256:[0-9a-f]{64}", model.digest)
    assert set(model.becomes) <= {"source", *TARGETS}
    assert {outcome for outcome, _ in model.becomes.values()} <= {"blocked", "refused", "another reference"}
    assert {"tokenizer.json", "tokenizer.model"} & set(model.files.values())


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({"gguf-f16": ("blocked", "tokenizer_parity")}, None),
        ({}, "one, gguf-f16: expected blocked parity, found passed "),
        ({"gguf-f16": ("blocked", "kld_mean")}, "one, gguf-f16: expected blocked parity, found blocked kld_mean"),
        ({"source": ("refused", "no")}, "one, source: expected passed , found refused no"),
    ],
)
def test_another_outcome_is_told(found: dict[str, tuple[str, str]], line: str | None) -> None:
    told = list(unexpected(MODEL, {**PASSED, **found}))
    assert told[:1] == ([line] if line else [])


def test_a_missing_target_is_told() -> None:
    assert list(unexpected(MODEL, {"gguf-f16": ("blocked", "parity")})) == [
        "one, safetensors-bf16: expected passed , found missing ",
        "one, onnx-fp32: expected passed , found missing ",
    ]
