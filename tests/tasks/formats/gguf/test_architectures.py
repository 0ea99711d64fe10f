"""The converter's own table of architectures, read without importing it."""

from pathlib import Path

import pytest

from tasks.errors import NotFound
from tasks.formats.gguf.architectures import read_architectures, supported_architectures


def test_the_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "conversion").mkdir()
    table = 'import torch\nOTHER: dict[str, str] = {"B": "b"}\nTEXT_MODEL_MAP: dict[str, str] = {"AForCausalLM": "a"}\n'
    (tmp_path / "conversion" / "__init__.py").write_text(table)
    assert read_architectures(tmp_path) == {"AForCausalLM"}


def test_a_tree_without_a_table_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="TEXT_MODEL_MAP"):
        read_architectures(tmp_path)


def test_nothing_is_known_where_llama_cpp_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_TOOLS", str(tmp_path / "absent"))
    assert supported_architectures() is None
