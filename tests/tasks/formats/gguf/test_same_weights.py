"""Two files store the same weights, whatever their metadata say; or one byte differs, or a type, or a name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import Corrupt
from tasks.formats.gguf import same_weights as module
from tasks.formats.gguf.header import read_header
from tasks.formats.gguf.same_weights import same_weights
from tests.tasks.formats.gguf.writer import write_gguf

TENSORS = {"token_embd.weight": (256, 3), "blk.0.attn_q.weight": (256, 2)}
METADATA = {"general.architecture": "llama", "llama.context_length": 256}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def made(name: str, **changes: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        given = {"metadata": METADATA, "tensors": TENSORS, "types": {"blk.0.attn_q.weight": "q8_0"}, **changes}
        write_gguf(folder / "model.gguf", **given)  # type: ignore[arg-type]
        return folder

    return made


def test_metadata_do_not_count(make: Callable[..., Path]) -> None:
    named = make("calibrated", metadata={**METADATA, "quantize.imatrix.file": "imatrix.gguf"})
    assert same_weights(named, make("control"))


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("place", ["first", "last"])
def test_one_byte_counts(make: Callable[..., Path], tensor: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 100)
    one, other = make("one"), make("other")
    path = other / "model.gguf"
    found = next(info for info in read_header(path).tensors if info.name == tensor)
    bytes_of = bytearray(path.read_bytes())
    bytes_of[found.start if place == "first" else found.start + found.bytes - 1] ^= 1
    path.write_bytes(bytes_of)
    assert not same_weights(one, other)
    assert same_weights(one, one)


@pytest.mark.parametrize(
    "change",
    [
        {"types": {}},
        {"tensors": {"token_embd.weight": (256, 3)}},
        {"tensors": {"token_embd.weight": (256, 3), "blk.1.attn_q.weight": (256, 2)}},
        {"tensors": {"token_embd.weight": (3, 256), "blk.0.attn_q.weight": (256, 2)}},
    ],
    ids=["another type", "a tensor fewer", "another name", "another shape"],
)
def test_another_list_of_tensors_counts(make: Callable[..., Path], change: dict[str, object]) -> None:
    assert not same_weights(make("one"), make("other", **change))


def test_a_malformed_file_is_refused(make: Callable[..., Path]) -> None:
    one, other = make("one"), make("other")
    (other / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(Corrupt):
        same_weights(one, other)
