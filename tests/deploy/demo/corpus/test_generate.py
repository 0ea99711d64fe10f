"""The generator writes the same documents every time, and each record's answer stands after its prompt."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo.corpus.__main__ import DOCUMENTS, TEXTS, text
from deploy.demo.corpus.generate import take
from deploy.demo.corpus.splits import Split


@pytest.mark.parametrize("split", DOCUMENTS)
def test_the_committed_texts_are_what_the_generator_writes(split: Split) -> None:
    assert (TEXTS / f"demo-{split.value}.jsonl").read_text(encoding="utf-8") == text(split)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_writes_the_same_bytes(tmp_path: Path, hash_seed: str) -> None:
    command = [sys.executable, "-m", "deploy.demo.corpus", str(tmp_path)]
    root = Path(__file__).parents[4]
    subprocess.run(command, check=True, cwd=root, capture_output=True, env=os.environ | {"PYTHONHASHSEED": hash_seed})
    for split in DOCUMENTS:
        name = f"demo-{split.value}.jsonl"
        assert (tmp_path / name).read_bytes() == (TEXTS / name).read_bytes()


def test_another_seed_writes_other_documents() -> None:
    assert not {d.text for d in take(Split.EVALUATION, 50)} & {d.text for d in take(Split.EVALUATION, 50, seed=7)}


@pytest.mark.parametrize("split", Split)
def test_text_is_prompt_answer_and_what_follows(split: Split) -> None:
    asked = [d for d in take(split, 300) if d.answer]
    assert len(asked) > 200
    for document in asked:
        assert document.text.startswith(document.prompt + document.answer)
        assert document.answer == document.answer.rstrip()
        assert not document.prompt.endswith(" ")
        assert any(choice in document.answer for choice in document.choices)
        assert len(set(document.choices)) == len(document.choices)


@pytest.mark.parametrize("split", Split)
def test_no_slot_and_no_bracket_stays_open(split: Split) -> None:
    for document in take(split, 300):
        assert "{?}" not in document.text
        assert "|]" not in document.text
        assert "[|" not in document.text


@pytest.mark.parametrize("split", DOCUMENTS)
def test_records_hold_every_kind_and_nothing_more_than_is_said(split: Split) -> None:
    lines = (TEXTS / f"demo-{split.value}.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["id"] for record in records] == [f"{split.value}-{n:04d}" for n in range(DOCUMENTS[split])]
    assert {"story", "recall", "chat", "knowledge", "arithmetic", "code", "greek", "russian", "chinese"} <= {
        r["kind"] for r in records
    }
    for record in records:
        assert set(record) in ({"id", "kind", "text"}, {"id", "kind", "text", "prompt", "answer", "choices"})
