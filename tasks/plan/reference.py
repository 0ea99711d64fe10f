"""What the reference will need: nothing can be proven without it, so a shortage is reported before any conversion."""

from tasks.checkpoint.analysis import Analysis
from tasks.evaluation.definitions import REFERENCE
from tasks.evaluation.parameters import DISK_SHARE, EvaluationSettings
from tasks.formats.base import Prediction
from tasks.host.shortage import megabytes
from tasks.plan.attention import attention_bytes
from tasks.plan.parameters import PreflightParameters
from tasks.plan.plan import PlannedTarget
from tasks.pools import no_place, place

RUNTIME_BYTES = 380_000_000
"""Memory of the process without the weights: torch, transformers, and what their allocators keep.

The formula below against the task itself, random Mistrals in bfloat16 with a tied head over 32,000 tokens, one thread,
8 windows of 256 tokens; in MB, memory that the kernel cannot take back:

    parameters   hidden size   longest rows   long window   predicted   measured
        63.5 M           768           2048             -         710        677
        61.1 M          1024           8192             -         859        770
        61.1 M          1024           8192          4608        1322       1192
"""

TOKENS_AT_ONCE = 2048
"""Tokens that the source reads at once: BATCH_TOKENS of tasks.evaluation.source_model, which needs torch."""

WIDE, NARROW = 3, 4
"""How often the numbers of a token are in memory at once, in float32: those of the widest layer, as both branches of a
gated layer and their product, and those of a hidden state, before and after it is normalized, with some room."""

ROWS_AT_ONCE = 3 * 128
"""Rows of float32 over the vocabulary that are alive at once: a block of 128, its product and its log-softmax; or a
window of 256, while the noise is measured, and a part of the comparison."""


def predict_reference(analysis: Analysis, settings: EvaluationSettings, text_bytes: int) -> Prediction:
    """Return what the reference needs, in bytes.

    text_bytes: the size of the evaluation text's file. A recipe may allow more windows than its text fills, and a text
    has at most one token per byte.

    It is that of a source whose logits follow from its hidden states. Others keep only the largest logits, and need up
    to 1 GiB of memory more for those of one window.

    size_bytes is what it stores: hidden states and the output head. disk_bytes adds the source's rows, float32 over the
    vocabulary for each token, which evaluations share in the worker cache.
    """
    windows = min(settings.windows, text_bytes // settings.window_tokens + 1)
    long = min(settings.long_window_tokens, text_bytes, analysis.context_length or text_bytes)
    tokens = windows * settings.window_tokens + long
    longest = max(long, settings.window_tokens)
    attention = attention_bytes(analysis.model_type, analysis.heads, longest)
    # A matrix that leads back to the hidden state has rows as long as the layer is wide.
    width = WIDE * max(analysis.row_lengths, default=0) + NARROW * analysis.hidden_size
    activations = 4 * max(TOKENS_AT_ONCE, longest) * width
    head = analysis.vocabulary_size * analysis.hidden_size
    stored = 4 * tokens * analysis.hidden_size + (4 if analysis.dtype == "float32" else 2) * head
    rows_at_once = 4 * ROWS_AT_ONCE * analysis.vocabulary_size
    return Prediction(
        size_bytes=stored,
        # Rows over the vocabulary are compared when no layer runs.
        memory_bytes=RUNTIME_BYTES + 4 * analysis.parameters + max(rows_at_once, activations + attention),
        disk_bytes=stored + 4 * analysis.vocabulary_size * tokens,
    )


def plan_reference(parameters: PreflightParameters, analysis: Analysis) -> PlannedTarget:
    """Return the reference's row of the plan; where it is not made, `reason` says what is short and what to do."""
    prediction = predict_reference(analysis, parameters.evaluation, parameters.text_bytes)
    pool = place(REFERENCE.needs, parameters.pools)
    obstacle, reason = None, "every target is measured against it"
    if pool is None:
        obstacle = no_place(REFERENCE.needs, parameters.pools)
    elif prediction.memory_bytes > pool.memory_bytes:
        obstacle = (
            f"it needs {megabytes(prediction.memory_bytes)} of memory, and the pool {pool.name} "
            f"has {megabytes(pool.memory_bytes)}; give the pool hosts with more memory and raise memory_bytes in "
            "settings.toml, or release a smaller model"
        )
    elif prediction.size_bytes > parameters.disk_bytes:
        obstacle = (
            f"it needs {megabytes(prediction.size_bytes)} of disk, and {megabytes(parameters.disk_bytes)} are free; "
            "free some, or lower 'evaluation.windows' in the recipe"
        )
    return PlannedTarget(
        name=REFERENCE.name, made=obstacle is None, reason=obstacle or reason, **prediction.model_dump()
    )


def rows_bytes(reference: PlannedTarget) -> int:
    """Return the bytes of the source's rows, which evaluations keep beside the reference."""
    return (reference.disk_bytes or 0) - (reference.size_bytes or 0)


def rows_fit(rows: int, free: int) -> bool:
    """Return whether evaluations keep the source's rows on a disk with so many free bytes."""
    return rows < DISK_SHARE * free


def without_rows(reference: PlannedTarget) -> PlannedTarget:
    """Return the row of a reference whose rows may find no room. That alone stops nothing."""
    clause = "the disk may have no room for the source's rows, and evaluations then compute them again"
    return reference.model_copy(update={"reason": f"{reference.reason}; {clause}"})
