"""Measures an artifact against the source: distributions, greedy text, answers, tokenizer and chat template.

The same code measures every format: it gets a runner, and knows neither the format nor the engine behind it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tasks.engines.runner import Runner
from tasks.errors import Unmeasured
from tasks.evaluation.bound import Bound, DefaultBound
from tasks.evaluation.context import check_prompts, check_windows
from tasks.evaluation.continuations import answer_recall, asked_questions, generation_agreement
from tasks.evaluation.differences import SAMPLE, find_differences
from tasks.evaluation.enough import check_enough
from tasks.evaluation.fidelity import measure_fidelity
from tasks.evaluation.long_window import LIMITED, NOT_ASKED, length_note, measure_long_window
from tasks.evaluation.measurement import Evaluation, Measurement, WindowDivergences
from tasks.evaluation.metrics import ANSWER_METRICS, FIDELITY_METRICS, PARITY_METRICS, SIZE_METRICS
from tasks.evaluation.noise import noise_metrics
from tasks.evaluation.noise_floor import in_effect
from tasks.evaluation.parity import (
    chat_template_parity,
    cut_texts,
    normalized_tokenizer_parity,
    tokenizer_parity,
)
from tasks.evaluation.parity_causes import parity_causes
from tasks.evaluation.reference_files import (
    LONG,
    Chats,
    Generations,
    ParityTexts,
    ReferenceInfo,
    ServedCases,
    read_part,
)
from tasks.evaluation.reference_reader import open_long_window, open_reference
from tasks.evaluation.served_parity import continuation_parity, end_token_parity, opening_parity
from tasks.evaluation.stopping import Stopping, stopping_notes
from tasks.evaluation.uncertainty import share

Progress = Callable[[str, float | None], None]
PARITY_SHARE, TEXT_SHARE, QUESTIONS_SHARE, BEFORE_WINDOWS = 0.05, 0.1, 0.15, 0.3
"""The share of the work that is done after each part, roughly, for people who wait."""


def measure(
    runner: Runner,
    reference: Path,
    progress: Progress,
    shared: Path | None = None,
    context_limit: int | None = None,
    bounds: Sequence[Bound] = (),
    known: Mapping[str, Measurement] = MappingProxyType({}),
) -> tuple[Evaluation, WindowDivergences, dict[str, str]]:
    """Return the metrics of a runner by the reference in a folder, without sizes, the divergence of each window, and
    where a parity was lost or why a number is missing: clauses, by metric.

    context_limit: the context length in tokens that the conversion gave the artifact on purpose; None if it kept the
        source's. The long window is compared up to there.
    shared: a folder in which evaluations by the same reference on this host keep what each would compute again.
    bounds: those that decide when enough windows were compared; without any, all windows are. The windows come last,
        because an artifact that another metric blocks needs only the fewest of them.
    known: what was measured before; a bound on it may block the artifact, too.

    Raises Unsupported where the artifact's context is too short for the reference, before anything is measured, and
    what `check_enough` and `measure_fidelity` raise.
    """
    generations = read_part(reference, "generations.json", Generations)
    opened = open_reference(reference, shared)
    check_prompts(runner, opened.info, generations)
    check_windows(runner, opened.info)
    if bounds:
        check_enough(opened.info.windows, opened.info.window_tokens - 1, bounds)
    long = open_long_window(reference, shared)
    compared = 0
    if long is not None:
        compared = min(long.info.window_tokens, context_limit or long.info.window_tokens)
        check_windows(runner, long.info, long_tokens=compared)
    metrics = noise_metrics(opened.info.noise)
    progress("comparing tokenizers and templates", 0.0)
    cuts = cut_texts(runner, read_part(reference, "parity.json", ParityTexts))
    metrics["tokenizer_parity"], parity_notes = tokenizer_parity(cuts)
    metrics["tokenizer_parity_nfc"], normalized_notes = normalized_tokenizer_parity(cuts)
    served = read_part(reference, "served.json", ServedCases)
    metrics["end_token_parity"], end_notes = end_token_parity(runner, generations.stop_ids)
    metrics["opening_parity"], opening_notes = opening_parity(runner, served)
    metrics["continuation_parity"], continuation_notes = continuation_parity(runner, served)
    chat_notes: list[str] = []
    if (reference / "chats.json").exists():
        chats = read_part(reference, "chats.json", Chats)
        metrics["chat_template_parity"], chat_notes = chat_template_parity(runner, chats)
    causes = parity_causes(
        cuts,
        {
            "end_token_parity": end_notes,
            "opening_parity": opening_notes,
            "continuation_parity": continuation_notes,
            "chat_template_parity": chat_notes,
        },
    )
    last_notes = [*chat_notes]
    progress("comparing greedy text", PARITY_SHARE)
    metrics["generation_agreement"], text_notes = generation_agreement(runner, generations)
    if asked := asked_questions(generations, bounds):
        progress("asking questions", TEXT_SHARE)
        metrics["answer_recall"] = answer_recall(runner, asked)
        metrics["reference_answer_recall"] = share(sum(question.correct for question in asked), len(asked))
    else:
        causes |= dict.fromkeys(ANSWER_METRICS, "the evaluation text asks no questions")
        last_notes.append("The evaluation text asks no questions, so answer recall was not measured.")
    if long is not None:
        progress("comparing a long window", QUESTIONS_SHARE)
        metrics["kld_long"] = measure_long_window(runner, long, compared)
    longest = max(opened.info.window_tokens, compared)
    metrics["context_compared"] = Measurement(value=longest)
    measured = {**known, **metrics}
    stopping = (
        Stopping([_in_effect(bound, measured) for bound in bounds], measured, opened.info.windows) if bounds else None
    )
    fidelity = measure_fidelity(
        runner,
        opened,
        lambda done, state: progress(
            f"comparing log-probabilities{state and f': {state}'}", BEFORE_WINDOWS + (1 - BEFORE_WINDOWS) * done
        ),
        stopping,
    )
    reason = NOT_ASKED if long is None else _end_of_window(long.info, longest, context_limit)
    notes = [
        *fidelity.notes,
        *stopping_notes(fidelity.comparison),
        length_note(longest, opened.info.changes_at, opened.info.context_length, reason),
        *text_notes,
        *normalized_notes,
        *parity_notes,
        *end_notes,
        *opening_notes,
        *continuation_notes,
        *last_notes,
    ]
    differences = find_differences(cuts, fidelity.nll_difference.ravel()[:SAMPLE].tolist())
    evaluation = Evaluation(
        engine=runner.engine,
        metrics={**fidelity.metrics, **metrics},
        notes=tuple(notes),
        comparison=fidelity.comparison,
        differences=differences,
    )
    return evaluation, fidelity.divergences, causes


def _in_effect(bound: Bound, measured: Mapping[str, Measurement]) -> Bound:
    return in_effect(bound, bound.noise, measured) if isinstance(bound, DefaultBound) else bound


def _end_of_window(long: ReferenceInfo, longest: int, context_limit: int | None) -> str:
    """Return why nothing longer was compared. The notes of a long window say why it ends."""
    if longest == context_limit:
        return LIMITED
    return " ".join(long.notes) if longest == long.window_tokens else ""


def absent_metrics(reference: Path) -> set[str]:
    """Return the metrics that do not exist for this source and text: no chat template, no questions, no long window."""
    absent = set()
    if not (reference / LONG).is_dir():
        absent.add("kld_long")
    if not (reference / "chats.json").exists():
        absent.add("chat_template_parity")
    if not read_part(reference, "generations.json", Generations).questions:
        absent.update(ANSWER_METRICS)
    return absent


def check_complete(evaluation: Evaluation, absent: set[str]) -> None:
    """Raise Unmeasured where a metric that exists for this source is missing."""
    for name, metric in {**FIDELITY_METRICS, **PARITY_METRICS, **SIZE_METRICS}.items():
        if name not in evaluation.metrics and name not in absent:
            raise Unmeasured(f"{name} ({metric.meaning}) was not measured; evaluate the artifact again with 'force'.")
