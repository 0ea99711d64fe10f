"""Mixes the documents of one split into an endless, seeded stream."""

from collections.abc import Callable, Iterator
from itertools import count, islice
from random import Random

from deploy.demo.corpus.arithmetic import arithmetic
from deploy.demo.corpus.chats import chat
from deploy.demo.corpus.document import Document
from deploy.demo.corpus.knowledge import knowledge
from deploy.demo.corpus.languages import language
from deploy.demo.corpus.snippets import code
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.stories import recall, story

SEED = 1234

# The kinds of documents, and how many of twenty are of each kind.
MIXTURE: tuple[tuple[Callable[[Random, Split, str], Document], int], ...] = (
    (story, 5),
    (recall, 3),
    (chat, 4),
    (knowledge, 2),
    (arithmetic, 2),
    (code, 2),
    (language, 2),
)

_ROUND = [writer for writer, weight in MIXTURE for _ in range(weight)]


def documents(split: Split, seed: int = SEED) -> Iterator[Document]:
    """Give documents of a split without end; the n-th depends on seed, split and n alone, on every machine.

    Kinds come in shuffled rounds of twenty, so that a short text too has all of them.
    """
    for number in count():
        which = number % len(_ROUND)
        if which == 0:
            order = Random(f"{seed}/{split.value}/round {number}").sample(_ROUND, len(_ROUND))
        yield order[which](Random(f"{seed}/{split.value}/{number}"), split, f"{split.value}-{number:04d}")


def take(split: Split, number: int, seed: int = SEED) -> list[Document]:
    """Give the first `number` documents of a split."""
    return list(islice(documents(split, seed), number))
