"""The texts of the parity check use the whole vocabulary, not only what people write."""

import json

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("transformers")

from tokenizers import AddedToken, Tokenizer

from tasks.evaluation.source_parity import cut_texts
from tests.fixtures.tiny_checkpoint import make_tokenizer


def test_a_tokenizer_that_lacks_a_merge_cuts_a_text_in_another_way() -> None:
    tokenizer = make_tokenizer("qwen2")
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    # Some merges of this tokenizer are never made: they were learnt across the boundaries of its words.
    used = [merge for merge in content["model"]["merges"] if _is_made(tokenizer, "".join(merge))]
    cases = list(reversed(cut_texts(tokenizer, len(tokenizer)).cases))
    unseen = []
    for merge in used:
        merges = [one for one in content["model"]["merges"] if one != merge]
        without = Tokenizer.from_str(json.dumps({**content, "model": {**content["model"], "merges": merges}}))
        if all(without.encode(case.text, add_special_tokens=False).ids == list(case.token_ids) for case in cases):
            unseen.append(merge)
    assert len(used) > 50
    assert unseen == []


def test_an_added_token_that_takes_spaces_in_is_in_a_text_wherever_it_stands() -> None:
    tokenizer = make_tokenizer("qwen2")
    added = [AddedToken(f"<x{number}>", normalized=False, rstrip=number == 43) for number in range(45)]
    tokenizer.add_tokens(added)
    texts = [case.text for case in cut_texts(tokenizer, len(tokenizer)).cases]
    assert any("<x43>" in text for text in texts)
    assert not any("<x44>" in text for text in texts)


def _is_made(tokenizer: object, token: str) -> bool:
    loaded: Tokenizer = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    number = loaded.token_to_id(token)
    assert number is not None
    return loaded.encode(loaded.decode([number]), add_special_tokens=False).ids == [number]
