"""A safetensors artifact that was changed after its conversion is refused before transformers sees it."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("transformers")

from tasks.errors import Corrupt
from tasks.formats.safetensors.inspect import inspect
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.tampered import Evaluated, Reached

FIRST = "model.embed_tokens.weight"


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    return Evaluated(tmp_path, "safetensors-bf16", monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "artifact")


def rewrite(path: Path, **changed: Any) -> None:
    """Change fields of the first tensor's entry in the header."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header[FIRST].update(changed)
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + length :])


def test_what_was_not_changed_comes_to_its_engine(evaluated: Evaluated, folder: Path) -> None:
    with pytest.raises(Reached):
        evaluated.evaluate(evaluated.keep(folder))


@pytest.mark.parametrize("place", [0, 40, -1], ids=["length", "header", "tensor"])
def test_a_changed_byte_is_not_what_the_manifest_says(evaluated: Evaluated, folder: Path, place: int) -> None:
    artifact = evaluated.keep(folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[place] ^= 1
    evaluated.store.put_bytes(f"{artifact.prefix}model.safetensors", bytes(data))
    with pytest.raises(Corrupt, match=r"model\.safetensors has not the digest of its manifest"):
        evaluated.evaluate(artifact)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dtype": "F16"}, f"tensor '{FIRST}' is F16, not BF16"),
        ({"dtype": ["BF16"]}, f"tensor '{FIRST}' has the unknown dtype"),
        ({"shape": [2**70, 0, 2]}, f"tensor '{FIRST}' has the shape"),
        ({"data_offsets": [0, 8]}, f"tensor '{FIRST}' has 8 bytes, where BF16"),
        ({"data_offsets": [64, 41024]}, "leaves a gap|overlaps"),
    ],
    ids=str,
)
def test_what_was_changed_together_with_its_manifest_is_seen_in_it(
    evaluated: Evaluated, folder: Path, changed: dict[str, Any], said: str
) -> None:
    rewrite(folder / "model.safetensors", **changed)
    with pytest.raises(Corrupt, match=said) as refused:
        evaluated.evaluate(evaluated.keep(folder))
    assert str(refused.value).isprintable() and str(refused.value).endswith(".")


def test_integers_in_place_of_weights_are_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "artifact")
    rewrite(folder / "model.safetensors", dtype="U16")
    inspect(folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"BF16"', b'"U16" '))
    with pytest.raises(Corrupt, match=r"Only 0 of the \d+ numbers in the weights are BF16"):
        inspect(folder)


def test_a_file_beside_the_weights_that_no_index_names_is_refused(evaluated: Evaluated, folder: Path) -> None:
    (folder / "extra.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(Corrupt, match=r"index does not name extra\.safetensors"):
        evaluated.evaluate(evaluated.keep(folder))


@pytest.mark.parametrize("content", ["{", "[]"])
def test_settings_of_generation_that_are_no_object_are_refused(folder: Path, content: str) -> None:
    (folder / "generation_config.json").write_text(content)
    with pytest.raises(Corrupt, match=r"generation_config\.json.*; run the release again with 'force'; .*recipe\.$"):
        inspect(folder)
