"""The script that loads a tokenizer counts what has no row in the model, within limits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tasks.source.checks import load_tokenizer
from tests.fixtures.checkpoints import VOCABULARY, write_tokenizer

LIMITED = "MEMORY_BYTES = 4 * 1024**3"


def run(path: Path, texts: tuple[str, ...] = ("the dog",), size: int = VOCABULARY) -> dict[str, Any]:
    asked = json.dumps({"path": str(path), "texts": texts, "vocabulary_size": size})
    done = subprocess.run(
        [sys.executable, "-I", load_tokenizer.__file__], input=asked, capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path)
    return tmp_path / "tokenizer.json"


def test_a_sound_one_has_a_row_for_each_token(path: Path) -> None:
    assert run(path) == {"tokens": VOCABULARY, "outside": None, "added": 0, "empty": False, "undecodable": None}


def test_the_first_token_without_a_row_is_named(path: Path) -> None:
    answer = run(path, size=300)
    tokenizer = Tokenizer.from_file(str(path))
    assert answer["outside"] == [tokenizer.id_to_token(300), 300]
    # Those of its own vocabulary that have no row are not added ones, and count all the same.
    assert answer["added"] == VOCABULARY - 300


def test_added_tokens_without_a_row_are_counted_apart(path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens(["<|image|>", "<|audio|>"])
    tokenizer.save(str(path))
    answer = run(path, size=VOCABULARY + 1)
    assert (answer["tokens"], answer["outside"], answer["added"]) == (VOCABULARY + 2, None, 1)


def test_a_first_text_without_tokens_is_told(path: Path) -> None:
    assert run(path, ("", "the dog"))["empty"] and not run(path, ("the dog", ""))["empty"]


@pytest.mark.parametrize(("stop", "token"), [(0, None), (1, "")])
def test_a_decoder_that_fails_on_no_token_is_told(path: Path, stop: int, token: str | None) -> None:
    assert strip(path, stop) == token


def test_a_decoder_that_fails_on_one_token_is_told_with_it(path: Path) -> None:
    # No fusion, so what is empty stays empty.
    assert strip(path, 1, fuse=False) == "\u0120"


def strip(path: Path, stop: int, fuse: bool = True) -> str | None:
    """Return the undecodable token if a space is stripped from both ends, after all tokens were joined or before."""
    space = {"type": "Replace", "pattern": {"String": "\u0120"}, "content": " "}
    steps = [space, *([{"type": "Fuse"}] if fuse else []), {"type": "Strip", "content": " ", "start": 1, "stop": stop}]
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "decoder": {"type": "Sequence", "decoders": steps}}))
    found = run(path)["undecodable"]
    assert not found or found[1]
    return found and str(found[0])


@pytest.mark.parametrize("text", ["", "[]", '{"model": {"type": "Novel"}}'])
def test_one_that_does_not_load_is_an_answer(path: Path, text: str) -> None:
    path.write_text(text)
    answer = run(path)
    assert answer.keys() == {"error"} and answer["error"]


def test_it_has_limits(path: Path, tmp_path: Path) -> None:
    source = Path(load_tokenizer.__file__).read_text(encoding="utf-8")
    assert LIMITED in source
    script = tmp_path / "small.py"
    script.write_text(source.replace(LIMITED, "MEMORY_BYTES = 16 * 1024**2"), encoding="utf-8")
    asked = json.dumps({"path": str(path), "texts": [], "vocabulary_size": 1})
    done = subprocess.run([sys.executable, "-I", script], input=asked, capture_output=True, text=True, check=False)
    assert done.returncode and not done.stdout


def test_an_interruption_is_no_fault_of_the_decoder() -> None:
    class Interrupted:
        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

        def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_tokenizer._first_undecodable(Interrupted())
