"""The task `reference`. It stores what the source model answers on the evaluation text, exactly and in little space.

Full log-probabilities over 152,000 tokens take 608 kB per row. The last hidden state takes 3.6 kB, and the model's own
output head gives the logits back. The task checks this at once, against the model's own logits. If they differ, because
of an unknown scale or cap after the head, it stores the most likely tokens instead, and the numbers say so.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from numpy.typing import NDArray

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.view import open_view
from tasks.contract import TaskContext
from tasks.errors import Corrupt, InvalidRecipe
from tasks.evaluation.enough import check_any_enough
from tasks.evaluation.long_window import end_reason
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.parameters import ReferenceParameters
from tasks.evaluation.reference_files import LONG, Noise, ReferenceInfo
from tasks.evaluation.reference_reader import ExactReference, TopKReference
from tasks.evaluation.reference_windows import first_token_ids, pack_long_window, pack_windows, read_records
from tasks.evaluation.source_continuations import generate_all
from tasks.evaluation.source_distributions import UNMEASURED, keep_distributions, keep_long_window
from tasks.evaluation.source_lengths import lengths_of_change, long_window_tokens
from tasks.evaluation.source_model import SourceModel
from tasks.evaluation.source_noise import measure_noise
from tasks.evaluation.source_parity import cut_texts, render_chats
from tasks.evaluation.source_served import served_cases
from tasks.evaluation.uncertainty import exponential, mean_over_windows, rounded
from tasks.model import Model

PERPLEXITY_WINDOWS = 8
"""The windows of which the reference computes the perplexity. The number is reported and decides nothing. The output
head is multiplied with every token of these windows."""


def reference(parameters: ReferenceParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write the reference's files (see reference_files); inputs: snapshot, analysis, evaluation-text.

    Raises InvalidRecipe where the text and the settings do not fit the model or the gates, Unsupported where
    transformers cannot run it, and Corrupt where its weights are incomplete or what it says is not finite.
    """
    settings = parameters.settings
    for module in (torch, transformers, tokenizers, np):
        context.version(module.__name__, module.__version__)
    analysis = context.materialize("analysis")
    view = open_view(context.materialize("snapshot"), analysis, context.scratch / "source")
    context.progress("loading the source", 0.0)
    source = SourceModel(view, context.threads)
    if settings.window_tokens > source.context_length:
        raise InvalidRecipe(
            f"'evaluation.window_tokens' is {settings.window_tokens}, and the source's context holds "
            f"{source.context_length} tokens; lower it in the recipe."
        )
    records = read_records(context.materialize("evaluation-text"))
    first = first_token_ids(source.tokenizer)
    tokens = pack_windows(source.tokenizer, records, first, settings)
    for sentence in check_any_enough(len(tokens), settings.window_tokens - 1, parameters.bounds):
        context.progress(sentence, None)
    info = keep_distributions(
        source, tokens, first, context.output, lambda done: context.progress("running the source", 0.6 * done)
    )
    kept = ExactReference(context.output, info) if info.kind == "exact" else TopKReference(context.output, info)
    context.progress("reading the reference back", 0.6)
    context_length = source.context_length if source.context_length < sys.maxsize else None
    changes = lengths_of_change(source.config)
    limits = {"context_length": context_length, "changes_at": tuple(changes)}
    notes = (*info.notes, *_source_notes(analysis))
    info = info.model_copy(update={"perplexity": _perplexity(kept), "notes": notes, **limits})
    planned, length = long_window_tokens(changes, source.context_length, settings.long_window_tokens), 0
    if planned:
        context.progress("running the source on a long window", 0.7)
        long = pack_long_window(source.tokenizer, records, first, planned)
        length = _write_long(source, long, info, planned, context.output / LONG)
    context.progress("generating", 0.8)
    generations = generate_all(source, records, first, settings, parameters.questions)
    chats = render_chats(source.tokenizer)
    served = served_cases(source, first, chats, generations)
    parity = cut_texts(source.tokenizer, source.rows)
    context.progress("running the source against itself", 0.9)
    dtype = Analysis.read_file(analysis / "analysis.json", "analysis.json").dtype
    noise, noise_notes = measure_noise(source, kept, dtype)
    info = info.model_copy(update={"noise": noise, "notes": (*info.notes, *noise_notes)})
    _write(context.output / "reference.json", info)
    _write(context.output / "generations.json", generations)
    _write(context.output / "parity.json", parity)
    _write(context.output / "served.json", served)
    if chats is not None:
        _write(context.output / "chats.json", chats)
    return {
        "kind": info.kind,
        "windows": info.windows,
        "window_tokens": info.window_tokens,
        "long_window_tokens": length,
        "perplexity": rounded(info.perplexity.value),
        "reproduction_error": info.reproduction_error,
        "questions": len(generations.questions),
        "answered": sum(question.correct for question in generations.questions),
        "chats": len(chats.cases) if chats else 0,
        **_noise_facts(noise),
    }


def _noise_facts(noise: Noise | None) -> dict[str, Any]:
    if noise is None:
        return {}
    return {"noise_type": noise.type, "noise_kld_mean": rounded(noise.metrics["kld_mean"].value)}


def _source_notes(analysis: Path) -> tuple[str, ...]:
    """Return what was settled of the source's tokenizer and template, for the report."""
    text = Analysis.read_file(analysis / "analysis.json", "analysis.json").text
    return (*((text.class_replaced,) if text and text.class_replaced else ()), *(text.notes if text else ()))


def _write_long(source: SourceModel, tokens: NDArray[np.int32], main: ReferenceInfo, planned: int, folder: Path) -> int:
    """Write the files of the long window, with why it ends as their note; return how many tokens it has."""
    info = keep_long_window(source, tokens, main, folder)
    kept = TopKReference(folder, info) if info.kind == "top-k" else ExactReference(folder, info, head=folder.parent)
    length = info.window_tokens
    _check_finite(kept)
    reason = end_reason(length, tokens.shape[1], planned, info.changes_at, info.context_length)
    settled = {"perplexity": UNMEASURED, "notes": (reason,) if reason else ()}
    _write(folder / "reference.json", info.model_copy(update=settled))
    return length


def _check_finite(kept: ExactReference | TopKReference) -> None:
    """Raise Corrupt if a number of any window is not finite."""
    for window in range(kept.info.windows):
        if not kept.is_finite(window):
            raise _broken(window)


def _perplexity(kept: ExactReference | TopKReference) -> Measurement:
    """Take the perplexity of some windows, spread evenly, from the files as `evaluate` will read them.

    Raises Corrupt if a number of any window is not finite.
    """
    _check_finite(kept)
    windows = kept.info.windows
    some = sorted({place * windows // PERPLEXITY_WINDOWS for place in range(PERPLEXITY_WINDOWS)})
    values = np.stack([kept.negative_log_likelihood(window) for window in some])
    if not np.isfinite(values).all():
        raise _broken(some[int((~np.isfinite(values)).any(axis=1).argmax())])
    return exponential(mean_over_windows(values))


def _broken(window: int) -> Corrupt:
    return Corrupt(f"Window {window}: the source's own log-probabilities are not finite; check its weights.")


def _write(path: Path, part: Model) -> None:
    path.write_text(part.to_json(), encoding="utf-8")
