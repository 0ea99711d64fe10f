import os
import subprocess
import sys

import pytest

from deploy.demo.corpus.__main__ import DOCUMENTS, TEXTS, text
from deploy.demo.corpus.document import Document
from deploy.demo.corpus.generate import take
from deploy.demo.corpus.splits import Split
from tasks.settings import REPOSITORY

MANY = 400
PAIRS = [(Split.TRAINING, Split.EVALUATION), (Split.TRAINING, Split.CALIBRATION), (Split.CALIBRATION, Split.EVALUATION)]


@pytest.fixture(scope="module")
def documents() -> dict[Split, list[Document]]:
    return {split: take(split, MANY) for split in Split}


@pytest.mark.parametrize("split", DOCUMENTS)
def test_the_committed_text_is_what_the_generator_writes(split: Split) -> None:
    assert (TEXTS / f"demo-{split.value}.jsonl").read_text(encoding="utf-8") == text(split)


def test_the_text_does_not_depend_on_the_process() -> None:
    program = (
        "from deploy.demo.corpus.generate import take; from deploy.demo.corpus.splits import Split; import sys;"
        "sys.stdout.buffer.write(''.join(d.line() for d in take(Split.TRAINING, 40)).encode())"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_splits_share_no_document_no_phrasing_and_no_combination_of_facts(
    documents: dict[Split, list[Document]], one: Split, other: Split
) -> None:
    for what in ("phrasings", "facts"):
        mine, theirs = (
            {item for document in documents[split] for item in getattr(document, what)} for split in (one, other)
        )
        assert mine
        assert not mine & theirs, what
    assert not {document.text for document in documents[one]} & {document.text for document in documents[other]}


def test_a_question_stands_in_its_text_with_its_right_answer(documents: dict[Split, list[Document]]) -> None:
    asked = [document for document in documents[Split.EVALUATION] if document.answer]
    assert len(asked) > MANY / 10
    for document in asked:
        assert document.text.startswith(document.prompt + document.answer)
        assert any(choice in document.answer for choice in document.choices)
        assert not document.prompt.endswith(" "), "the space belongs to the answer's first token"
