"""Generates greedily with the source: continuations of prompts and document beginnings, answers to questions."""

from collections.abc import Sequence
from typing import TypeVar

from tasks.errors import InvalidRecipe
from tasks.evaluation.answers import is_answer, is_decided
from tasks.evaluation.parameters import EvaluationSettings
from tasks.evaluation.reference_files import Continuation, Generations, Question
from tasks.evaluation.reference_windows import TextRecord
from tasks.evaluation.source_model import SourceModel

BEGINNING_TOKENS = 32
"""How much of a document is given before the model continues it."""

ANSWER_SLACK = 2
"""Tokens beyond the answer's own, so that its end is seen, and one that is cut differently still fits."""

Item = TypeVar("Item")


def generate_all(
    source: SourceModel,
    records: Sequence[TextRecord],
    first: Sequence[int],
    settings: EvaluationSettings,
    questions: int,
) -> Generations:
    """Return the source's greedy generations: half from prompts where the text has them, the rest from beginnings.

    questions: how many questions of the text are answered at most.
    """
    stop_ids = source.stop_ids()
    asking = [record for record in records if record.prompt and record.answer]
    prompts = _spread(asking, settings.generations // 2)
    begun = _spread([record for record in records if not record.prompt] or records, settings.generations - len(prompts))
    starts = [(f"prompt {record.name}", _encode(source, record.prompt)) for record in prompts]
    starts += [(f"text {record.name}", _encode(source, record.text)[:BEGINNING_TOKENS]) for record in begun]
    return Generations(
        stop_ids=tuple(stop_ids),
        max_tokens=settings.generated_tokens,
        continuations=tuple(
            _continue(source, name, _fit(source, name, first, ids, settings.generated_tokens), settings, stop_ids)
            for name, ids in starts
        ),
        questions=tuple(_ask(source, record, first, stop_ids) for record in _spread(asking, questions)),
    )


def _continue(
    source: SourceModel, name: str, prompt_ids: list[int], settings: EvaluationSettings, stop_ids: list[int]
) -> Continuation:
    said = source.generate(prompt_ids, settings.generated_tokens, stop_ids)
    return Continuation(
        name=name,
        prompt_ids=tuple(prompt_ids),
        token_ids=tuple(said),
        text=source.continuation_text(prompt_ids, said),
        stopped=len(said) < settings.generated_tokens,
    )


def _ask(source: SourceModel, record: TextRecord, first: Sequence[int], stop_ids: list[int]) -> Question:
    # The token that ends a turn is no part of what is read, in the answer as in what is said.
    right = source.decode(_encode(source, record.answer)).strip()
    # An answer after a space and one without are cut differently; the longer of the two has to fit.
    needed = max(len(_encode(source, lead + right)) for lead in ("", " "))
    prompt_ids = _fit(source, f"question {record.name}", first, _encode(source, record.prompt), needed + ANSWER_SLACK)

    def said(tokens: list[int]) -> str:
        return source.continuation_text(prompt_ids, tokens)

    tokens = source.generate(
        prompt_ids, needed + ANSWER_SLACK, stop_ids, lambda tokens: is_decided(said(tokens), right)
    )
    text = said(tokens)
    return Question(
        name=record.name,
        prompt_ids=tuple(prompt_ids),
        answer=right,
        max_tokens=needed + ANSWER_SLACK,
        text=text,
        correct=is_answer(text, right),
    )


def _encode(source: SourceModel, text: str) -> list[int]:
    return list(source.tokenizer.encode(text, add_special_tokens=False))


def _fit(source: SourceModel, name: str, first: Sequence[int], ids: list[int], following: int) -> list[int]:
    """Return a prompt, cut to its end where prompt and continuation would not fit into the source's context.

    Raises InvalidRecipe where the continuation alone does not fit, and where the prompt has no tokens.
    """
    room = source.context_length - len(first) - following
    if room < 1:
        raise InvalidRecipe(
            f"The source's context holds {source.context_length} tokens, and the continuation of {name!r} has "
            f"{following}; lower 'evaluation.generated_tokens' in the recipe, or shorten the evaluation text's answers."
        )
    if not first and not ids:
        raise InvalidRecipe(f"{name!r} of the evaluation text has no tokens; remove the record or give it text.")
    return [*first, *ids[-room:]]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most `count` items, evenly from the first on."""
    if len(items) <= count:
        return list(items)
    return [items[place * len(items) // count] for place in range(count)]
