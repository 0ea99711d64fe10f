"""A file that llama.cpp cannot load is refused where it was made, with llama.cpp's own words."""

from pathlib import Path

import pytest

from tasks.errors import ToolFailed
from tasks.formats.gguf.loading import check_loads
from tests.fixtures.context import make_context
from tests.tasks.formats.gguf.test_header import TENSORS
from tests.tasks.formats.gguf.writer import write_gguf

pytestmark = pytest.mark.runtime("torch")


def test_what_llama_cpp_rejects_is_refused_with_its_words(tmp_path: Path) -> None:
    made = write_gguf(tmp_path / "made.gguf", {"general.architecture": "novel"}, TENSORS)
    words = r"llama_model_load: error loading model: .*unknown model architecture: 'novel'"
    with pytest.raises(ToolFailed, match=rf"^{words}: open_gguf\.py, at work on made\.gguf, failed .*leave the gguf"):
        check_loads(made, make_context(tmp_path, {}))
