"""Compares the greedy text of an artifact with the source's: the common beginning, and the questions answered."""

import numpy as np

from tasks.engines.runner import Runner
from tasks.evaluation.answers import is_answer
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import Continuation, Generations
from tasks.evaluation.uncertainty import ratio_of_sums, share


def generation_agreement(runner: Runner, generations: Generations) -> tuple[Measurement, list[str]]:
    """Return the share of greedy tokens equal to the source's up to the first difference; a note on the worst prompt.

    The artifact ends where serving ends it. The end of a text counts as one more token: an artifact that never stops,
    or stops too early, differs there.
    """
    equal, lengths = [], []
    for continuation in generations.continuations:
        said = runner.generate(continuation.prompt_ids, generations.max_tokens, runner.end_ids).token_ids
        expected = _with_end(list(continuation.token_ids), generations.max_tokens)
        equal.append(_common_prefix(expected, _with_end(said, generations.max_tokens)))
        lengths.append(len(expected))
    measured = ratio_of_sums(np.array(equal, np.float64), np.array(lengths, np.float64))
    return measured, _note(generations.continuations, equal, lengths)


def answer_recall(runner: Runner, generations: Generations) -> Measurement:
    """Return the share of questions that the artifact answers. There must be at least one question."""
    right = 0
    for question in generations.questions:
        said = runner.generate(question.prompt_ids, question.max_tokens, runner.end_ids).token_ids
        right += is_answer(runner.continuation_text(question.prompt_ids, said), question.answer)
    return share(right, len(generations.questions))


def _with_end(token_ids: list[int], max_tokens: int) -> list[int]:
    return [*token_ids, -1] if len(token_ids) < max_tokens else token_ids


def _common_prefix(left: list[int], right: list[int]) -> int:
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length


def _note(continuations: tuple[Continuation, ...], equal: list[int], lengths: list[int]) -> list[str]:
    worst = min(range(len(equal)), key=lambda place: equal[place] / lengths[place])
    if equal[worst] == lengths[worst]:
        return []
    name = continuations[worst].name
    return [f"Greedy text differs first for prompt {name!r}: after {equal[worst]} of {lengths[worst]} tokens."]
