"""The measured model's tokenizer: of the size asked for, and nothing in it that no merge could make."""

import json

from bench.vocabulary import enlarge
from tasks.settings import REPOSITORY

DEMO = REPOSITORY / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales" / "tokenizer.json"


def test_every_new_token_has_one_merge_of_tokens_before_it() -> None:
    demo = json.loads(DEMO.read_text(encoding="utf-8"))
    made = enlarge(demo, 5000)["model"]
    ids = made["vocab"]
    assert sorted(ids.values()) == list(range(5000))
    assert {token: ids[token] for token in demo["model"]["vocab"]} == demo["model"]["vocab"]
    assert made["merges"][: len(demo["model"]["merges"])] == demo["model"]["merges"]
    new = made["merges"][len(demo["model"]["merges"]) :]
    assert len(new) == 5000 - len(demo["model"]["vocab"])
    assert all(max(ids[left], ids[right]) < ids[left + right] for left, right in new)


def test_the_same_at_every_call() -> None:
    demo = json.loads(DEMO.read_text(encoding="utf-8"))
    assert enlarge(demo, 3000) == enlarge(demo, 3000)
