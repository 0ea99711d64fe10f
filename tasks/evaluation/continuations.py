"""Compares the greedy text of an artifact with the source's: the common beginning, and the questions answered."""

from collections.abc import Sequence

import numpy as np

from tasks.engines.runner import Runner
from tasks.evaluation.answers import is_answer, is_decided
from tasks.evaluation.bound import Bound
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import ANSWER_METRICS
from tasks.evaluation.parameters import ASKED
from tasks.evaluation.reference_files import Continuation, Generations, Question
from tasks.evaluation.uncertainty import ratio_of_sums, share


def asked_questions(generations: Generations, bounds: Sequence[Bound]) -> tuple[Question, ...]:
    """Return the questions to ask: all if a bound is on the answers, or if there are no bounds; else ASKED at most.

    These are spread evenly over all, and the same for every artifact.
    """
    questions = generations.questions
    if not bounds or any(bound.metric in ANSWER_METRICS for bound in bounds) or len(questions) <= ASKED:
        return questions
    return tuple(questions[place * len(questions) // ASKED] for place in range(ASKED))


def generation_agreement(runner: Runner, generations: Generations) -> tuple[Measurement, list[str]]:
    """Return the share of greedy tokens equal to the source's up to the first difference; a note on the worst prompt.

    The artifact ends where serving ends it. The end of a text counts as one more token: an artifact that never stops,
    or stops too early, differs there. Nothing is generated beyond the first difference.
    """
    equal, lengths = [], []
    for continuation in generations.continuations:
        said = _said(runner, continuation, generations.max_tokens)
        expected = _with_end(list(continuation.token_ids), generations.max_tokens)
        equal.append(_common_prefix(expected, _with_end(said, generations.max_tokens)))
        lengths.append(len(expected))
    measured = ratio_of_sums(np.array(equal, np.float64), np.array(lengths, np.float64))
    return measured, _note(generations.continuations, equal, lengths)


def answer_recall(runner: Runner, questions: Sequence[Question]) -> Measurement:
    """Return the share of questions that the artifact answers. There must be at least one question.

    Nothing is generated beyond what decides an answer.
    """
    right = sum(_is_answered(runner, question) for question in questions)
    return share(right, len(questions))


def _said(runner: Runner, continuation: Continuation, max_tokens: int) -> list[int]:
    def differs(tokens: list[int]) -> bool:
        return tokens[-1:] != list(continuation.token_ids[len(tokens) - 1 : len(tokens)])

    return runner.generate(continuation.prompt_ids, max_tokens, runner.end_ids, differs).token_ids


def _is_answered(runner: Runner, question: Question) -> bool:
    def text(tokens: list[int]) -> str:
        return runner.continuation_text(question.prompt_ids, tokens)

    def is_enough(tokens: list[int]) -> bool:
        return is_decided(text(tokens), question.answer)

    said = runner.generate(question.prompt_ids, question.max_tokens, runner.end_ids, is_enough).token_ids
    return is_answer(text(said), question.answer)


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
