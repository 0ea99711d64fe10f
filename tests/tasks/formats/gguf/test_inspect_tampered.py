"""A GGUF artifact that was changed after its conversion is refused before llama.cpp sees it."""

import struct
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("llama-cpp")

pytest.importorskip("llama_cpp")

from tasks.errors import Corrupt
from tests.fixtures.tampered import Evaluated
from tests.tasks.formats.gguf.writer import write_gguf

METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.context_length": 256,
    "llama.rope.freq_base": 500000.0,
    "llama.rope.scaling.factor": 4.0,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["<s>", "a", "b"],
    "tokenizer.ggml.eos_token_id": 2,
}
TENSORS = {"token_embd.weight": (32, 3), "output_norm.weight": (32,)}


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    return Evaluated(tmp_path, "gguf-f16", monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "artifact").mkdir()
    write_gguf(tmp_path / "artifact" / "tiny.gguf", METADATA, TENSORS)
    return tmp_path / "artifact"


@pytest.mark.parametrize(
    "part", [b"GGUF", b"llama.rope.freq_base", struct.pack("<f", 500000.0), b"token_embd.weight", None]
)
def test_a_changed_byte_is_not_what_the_manifest_says(evaluated: Evaluated, folder: Path, part: bytes | None) -> None:
    artifact = evaluated.keep(folder)
    data = bytearray((folder / "tiny.gguf").read_bytes())
    data[data.index(part) if part else -4] ^= 1
    evaluated.store.put_bytes(f"{artifact.prefix}tiny.gguf", bytes(data))
    with pytest.raises(Corrupt, match=r"tiny\.gguf has not the digest of its manifest"):
        evaluated.evaluate(artifact)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"llama.rope.freq_base": 0.0}, r"has the value 0\.0 for llama\.rope\.freq_base"),
        ({"llama.rope.freq_base": float("nan")}, r"has the value nan for 'llama\.rope\.freq_base'"),
        ({"llama.rope.scaling.factor": float("inf")}, r"has the value inf for 'llama\.rope\.scaling\.factor'"),
        ({"llama.rope.scaling.factor": -1.0}, r"has the value -1\.0 for llama\.rope\.scaling\.factor"),
        ({"llama.rope.freq_base": "500000"}, r"'llama\.rope\.freq_base' must be a number"),
        ({"llama.context_length": 0}, r"has the value 0 for llama\.context_length"),
        ({"tokenizer.ggml.tokens": ["<s>", "a"]}, r"has 2 tokens, but token_embd\.weight has 3 rows"),
        ({"tokenizer.ggml.eos_token_id": 3}, "has the eos token 3, but only 3 tokens"),
        ({"tokenizer.ggml.bos_token_id": 2**32 - 1}, "has the bos token 4294967295"),
        ({"general.architecture": 5}, "'general.architecture' must be a string"),
    ],
    ids=str,
)
def test_what_was_changed_together_with_its_manifest_is_seen_in_it(
    evaluated: Evaluated, folder: Path, changed: dict[str, Any], said: str
) -> None:
    write_gguf(folder / "tiny.gguf", {**METADATA, **changed}, TENSORS)
    with pytest.raises(Corrupt, match=said) as refused:
        evaluated.evaluate(evaluated.keep(folder))
    assert str(refused.value).isprintable() and str(refused.value).endswith(".")


def test_a_second_model_beside_it_is_refused(evaluated: Evaluated, folder: Path) -> None:
    write_gguf(folder / "other.gguf", METADATA, TENSORS)
    with pytest.raises(
        Corrupt, match=r"must have one \.gguf file at its root, but this one has other\.gguf, tiny\.gguf"
    ):
        evaluated.evaluate(evaluated.keep(folder))


def test_a_file_that_was_cut_short_with_its_manifest_is_refused(evaluated: Evaluated, folder: Path) -> None:
    path = folder / "tiny.gguf"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Corrupt, match=r"tiny\.gguf ends inside the data of tensor 'output_norm\.weight'"):
        evaluated.evaluate(evaluated.keep(folder))
