"""Writes what serving must give for the source: the ids of prompts and chats, and the text of continuations."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tasks.checkpoint.parity_texts import WRITTEN, generated_texts, special_token_texts, vocabulary_texts
from tasks.engines.text_model import INCOMPLETE
from tasks.evaluation.reference_files import Chats, ContinuationCase, Generations, PromptCase, ServedCases
from tasks.evaluation.source_model import SourceModel
from tasks.evaluation.source_parity import ordinary_texts, special_tokens

PROMPTS = {"a story": "Once upon a time", "a line of code": "def add(a, b):\n", "a sum": "12 + 7 ="}
"""Texts that every tokenizer of a language model cuts without normalizing them."""

GENERATED_TEXTS = 100
"""So many generated texts are cut into a prompt and its continuation, beside all that are written by hand."""

MARKER = re.compile(
    r"<[|\uff5c].*[|\uff5c]>|<unused.*>|<fim[-_]\w+>|\u2581?<(PRE|SUF|MID)>|[<\[](PAD|EOT|EOS)[>\]]|_<EOT>|</s>|\[@BOS@\]"
    r"|<(pad|mask|2mass|eos|REPO|reponame|end_of_turn|end_of_utterance)>",
    re.DOTALL,
)
"""Texts of added tokens that some engines hide from what they serve even if the source does not call them special."""


def served_cases(
    source: SourceModel, first: Sequence[int], chats: Chats | None, generations: Generations
) -> ServedCases:
    """Return all cases.

    first: what the source's tokenizer puts before a text. A text that has it already is not opened twice.
    Continuations whose bytes are no UTF-8 are left out: a decoder may treat them one by one, or as a whole.
    So are those with a token that the source shows and some engines hide (see `disputed_ids`).
    chats: as the source renders them. Nothing is put before a rendered chat. Those with today's date are left out.
    """
    disputed = disputed_ids(source.tokenizer)
    return ServedCases(
        prompts=(*_prompts(source, list(first)), *(_chats(source, chats) if chats and not chats.dated else ())),
        continuations=tuple(
            case
            for case in (*_greedy(generations), *_continuations(source, first))
            if case.token_ids
            and INCOMPLETE not in case.text
            and disputed.isdisjoint((*case.prompt_ids, *case.token_ids))
        ),
    )


def disputed_ids(tokenizer: Any) -> frozenset[int]:
    """Return the added tokens that are not special, so that transformers shows them, but look like control tokens.

    llama.cpp hides them (`does_token_look_special` of its converter, and the texts that src/llama-vocab.cpp knows).
    Ordinary added tokens, such as `<think>` or runs of spaces, are shown by every engine.
    """
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(token for token, one in added if not one.special and MARKER.fullmatch(one.content))


def _greedy(generations: Generations) -> Iterator[ContinuationCase]:
    for one in generations.continuations:
        yield ContinuationCase(name=one.name, prompt_ids=one.prompt_ids, token_ids=one.token_ids, text=one.text)


def _prompts(source: SourceModel, first: list[int]) -> Iterator[PromptCase]:
    opened = {f"{name}, opened already": f"{source.tokenizer.decode(first)}{text}" for name, text in PROMPTS.items()}
    for name, text in {**PROMPTS, **(opened if first else {})}.items():
        ids = source.tokenizer.encode(text, add_special_tokens=False)
        token_ids = ids if ids[: len(first)] == first else [*first, *ids]
        yield PromptCase(name=name, prompt=text, token_ids=tuple(token_ids))


def _chats(source: SourceModel, chats: Chats) -> Iterator[PromptCase]:
    for case in chats.cases:
        if case.add_generation_prompt and case.text.isascii():
            ids = source.tokenizer.encode(case.text, add_special_tokens=False)
            yield PromptCase(name=f"chat {case.name}", messages=case.messages, token_ids=tuple(ids))


def _continuations(source: SourceModel, first: Sequence[int]) -> Iterator[ContinuationCase]:
    """Yield the parity texts, each cut into two at a token that begins a character: one in its midst.

    The texts of the vocabulary are cut near their beginning, because only what continues is compared.
    """
    generated = dict(list(generated_texts().items())[:GENERATED_TEXTS])
    texts = {**WRITTEN, **special_token_texts(special_tokens(source.tokenizer, source.rows)), **generated}
    for name, text in texts.items():
        ids = source.tokenizer.encode(text, add_special_tokens=False)
        yield from _cut(source, first, name, ids, range(len(ids) // 2, 0, -1))
    for name, text in vocabulary_texts(ordinary_texts(source.tokenizer, source.rows)).items():
        ids = source.tokenizer.encode(text, add_special_tokens=False)
        yield from _cut(source, first, name, ids, range(1, len(ids)))


def _cut(
    source: SourceModel, first: Sequence[int], name: str, ids: Sequence[int], places: Iterable[int]
) -> Iterator[ContinuationCase]:
    """Yield the case that is cut at the first of the places where a character begins, if there is one."""
    cut = next((place for place in places if source.begins_character(ids, place)), 0)
    if cut:
        prompt_ids = (*first, *ids[:cut])
        yield ContinuationCase(
            name=name,
            prompt_ids=prompt_ids,
            token_ids=tuple(ids[cut:]),
            text=source.continuation_text(prompt_ids, ids[cut:]),
        )
