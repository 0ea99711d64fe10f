"""The script that cuts texts: what each library says of its own file, within limits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("sentencepiece")

from tokenizers import Tokenizer

from tasks.settings import REPOSITORY
from tasks.source.view import cut_texts
from tests.fixtures import sentencepiece_bpe

TEXTS = ("the cat sat on the mat", "</s>", "", "Zażółć 🚀")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tokenizer in both forms. tokenizer.json puts <s> before a text, and says that texts have two tokens."""
    folder = tmp_path_factory.mktemp("tokenizer")
    model = sentencepiece_bpe.train()
    (folder / "tokenizer.model").write_bytes(model)
    cutting = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    filling = {"strategy": {"Fixed": 2}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"}
    content = {**sentencepiece_bpe.as_json(model), "truncation": cutting, "padding": filling}
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False))
    return folder


def run(path: Path) -> dict[str, Any]:
    asked = json.dumps({"path": str(path), "texts": TEXTS})
    done = subprocess.run(
        [sys.executable, "-I", cut_texts.__file__], input=asked, capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_both_libraries_cut_plain_text_alike_and_only_one_parses_special_tokens(folder: Path) -> None:
    by_json, by_model = run(folder / "tokenizer.json"), run(folder / "tokenizer.model")
    texts = [place for place, text in enumerate(TEXTS) if text != "</s>"]
    assert [by_json["ids"][place] for place in texts] == [by_model["ids"][place] for place in texts]
    assert by_json["ids"][1] == [2] and len(by_model["ids"][1]) > 1
    assert by_json["pieces"] == by_model["pieces"] and len(by_json["pieces"]) == 320


def test_whole_texts_are_cut_and_what_stands_around_one_is_told(folder: Path) -> None:
    answer = run(folder / "tokenizer.json")
    assert len(answer["ids"][0]) > 2
    assert answer["opened"] == [1, *answer["bare"]]
    model = run(folder / "tokenizer.model")
    assert model["opened"] == model["bare"]


def test_added_tokens_are_no_pieces(folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["<more>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert "<more>" not in run(tmp_path / "tokenizer.json")["pieces"]


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
def test_a_file_that_does_not_load_is_an_answer(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"{ no file of any library")
    answer = run(tmp_path / name)
    assert answer.keys() == {"error"} and answer["error"]


def test_a_short_text_is_not_filled_up(folder: Path) -> None:
    assert run(folder / "tokenizer.json")["ids"][TEXTS.index("")] == []


def test_its_process_may_take_so_much_and_writes_no_file(folder: Path) -> None:
    limited = "import resource as r; from tasks.source.view.cut_texts import main; main(); print(); " + (
        "print([r.getrlimit(of) for of in (r.RLIMIT_CPU, r.RLIMIT_AS, r.RLIMIT_FSIZE, r.RLIMIT_CORE)])"
    )
    asked = json.dumps({"path": str(folder / "tokenizer.json"), "texts": []})
    done = subprocess.run(
        [sys.executable, "-c", limited], input=asked, capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    seconds, size = cut_texts.CPU_SECONDS, cut_texts.MEMORY_BYTES
    assert done.stdout.splitlines()[-1] == str([(seconds, seconds + 1), (size, size), (0, 0), (0, 0)])


def test_it_has_limits(tmp_path: Path, folder: Path) -> None:
    script = tmp_path / "cut_texts.py"
    source = Path(cut_texts.__file__).read_text(encoding="utf-8")
    small = source.replace("MEMORY_BYTES = 4 * 1024**3", "MEMORY_BYTES = 16 * 1024**2")
    assert small != source
    script.write_text(small, encoding="utf-8")
    asked = json.dumps({"path": str(folder / "tokenizer.json"), "texts": []})
    done = subprocess.run([sys.executable, "-I", script], input=asked, capture_output=True, text=True, check=False)
    assert done.returncode and not done.stdout
