"""Every parser, from its corpus, for a stated number of executions: no flaw, and so many of its branches reached."""

import pytest

pytestmark = pytest.mark.runtime("fuzz")

from tests.fuzz.campaign import fuzz
from tests.fuzz.target import CORPUS, load, names, seeds

CORPUS_BYTES = 300_000


@pytest.mark.parametrize("name", names())
def test_whatever_it_is_given_it_answers_or_refuses_in_a_sentence(name: str) -> None:
    target = load(name)
    told = fuzz(name, runs=target.runs)
    assert told.broken is None, f"{told.broken}:\n{told.said[-6000:]}"
    assert told.executions >= target.runs, told.said[-6000:]
    assert told.coverage >= target.floor, f"{told.coverage:.1f} % of {told.branches} branches; missing {told.missing}"


def test_every_target_has_a_corpus_and_all_are_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(names())
    assert all(seeds(name) for name in names())
    assert sum(path.stat().st_size for name in names() for path in seeds(name)) < CORPUS_BYTES
