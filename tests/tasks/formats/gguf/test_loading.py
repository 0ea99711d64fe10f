"""A file that llama.cpp cannot load is refused where it was made, with llama.cpp's own words."""

from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ToolFailed
from tasks.formats.gguf import loading
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


@pytest.mark.parametrize(("metadata", "packed"), [({}, "packed"), ({"a.attention.key_length_mla": 8}, "as-stored")])
def test_latent_attention_is_opened_as_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: dict[str, Any], packed: str
) -> None:
    def answer(argv: list[Any], **_: Any) -> None:
        Path(argv[4]).write_text('{"window": 0, "ends": {}}')
        assert argv[5:] == [packed]

    monkeypatch.setattr(loading, "run_tool", answer)
    made = write_gguf(tmp_path / "made.gguf", {"general.architecture": "a", **metadata}, TENSORS)
    assert check_loads(made, make_context(tmp_path, {})).window == 0
