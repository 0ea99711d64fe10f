"""Tiny models with the tokenizers of Mistral and Claude, from packages of PyPI, are released as models.toml says."""

from pathlib import Path

import pytest

from tests.published.check import release, unexpected
from tests.published.models import published

pytestmark = [pytest.mark.runtime("torch"), pytest.mark.timeout(600)]


@pytest.mark.parametrize("name", ["mistral-v1", "claude-2"])
def test_a_published_tokenizer(tmp_path: Path, name: str) -> None:
    model = published()[name]
    assert list(unexpected(model, release(model, tmp_path / "packages", tmp_path / "made"))) == []
