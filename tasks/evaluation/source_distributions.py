"""Writes the source's next-token distributions: hidden states and output head, if they give the exact logits.

Otherwise it writes the most likely tokens of each row.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.lib.format import dtype_to_descr, open_memmap, write_array_header_1_0
from numpy.typing import NDArray

from tasks.errors import InvalidRecipe
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import ReferenceInfo
from tasks.evaluation.reference_reader import HEAD_ROWS, ExactReference
from tasks.evaluation.source_model import SourceModel, batches

REPRODUCTION_TOLERANCE = 1e-3
"""Nats. Float32 sums in another order differ by some 1e-5; a forgotten scale or cap by tenths."""

CHECKED_WINDOWS = 4
CHECKED_TOKENS = 32
"""Per checked window, from its start: a wrong scale or cap shows in every row, and the source runs over them again."""

KEPT = 256
"""Tokens a row of a top-k reference keeps: beyond them a trained model has some thousandths of its mass left."""

LOGIT_BYTES = 1 << 30
"""Memory for the source's logits after all tokens of a window, where they are needed at once."""

BLOCK_ROWS = 128
"""Rows of logits that are normalized at once: the copy of all of a window would take as much memory again."""

UNMEASURED = Measurement(value=0.0, observations=0)
"""Stands for the perplexity until the finished files have been read back. That of the long window is never computed."""

HeadType = Literal["float32", "float16", "bfloat16"]

HEAD_TYPES: Mapping[HeadType, tuple[torch.dtype, type[np.generic]]] = {
    "bfloat16": (torch.bfloat16, np.uint16),
    "float16": (torch.float16, np.float16),
    "float32": (torch.float32, np.float32),
}
"""The types in which a head is stored, in torch and in its file. NumPy has no bfloat16, so its bits are stored."""

Progress = Callable[[float], None]


def keep_distributions(
    source: SourceModel, tokens: NDArray[np.int32], first: list[int], output: Path, progress: Progress
) -> ReferenceInfo:
    """Write tokens.npy and the arrays of the first kind that reproduces the model's own log-probabilities.

    Raises InvalidRecipe if the kind needs the logits of a whole window, and they are larger than LOGIT_BYTES.
    """
    np.save(output / "tokens.npy", tokens)
    error = None
    if source.has_head():
        exact = _keep_exact(source, tokens, first, output, progress)
        error = _reproduction_error(source, ExactReference(output, exact))
        if error <= REPRODUCTION_TOLERANCE:
            return exact.model_copy(update={"reproduction_error": error})
        for name in ("hidden.npy", "head.npy", "head-bias.npy"):
            (output / name).unlink(missing_ok=True)
    top = _keep_top(source, tokens, first, output, progress)
    return top.model_copy(update={"reproduction_error": error if error is not None and np.isfinite(error) else None})


def keep_long_window(
    source: SourceModel, tokens: NDArray[np.int32], main: ReferenceInfo, output: Path
) -> ReferenceInfo:
    """Write the arrays of the long window [1, tokens] into a new folder, of the kind of the `main` reference.

    The output head is not written again. A top-k reference has the logits of all tokens in memory at once, so its
    window is cut to LOGIT_BYTES.
    """
    output.mkdir()
    if main.kind == "top-k":
        tokens = tokens[:, : _longest_window(main.vocabulary_size)]
    np.save(output / "tokens.npy", tokens)
    info = main.model_copy(update={"windows": 1, "window_tokens": tokens.shape[1], "notes": ()})
    if main.kind == "top-k":
        _keep_top(source, tokens, list(main.first_token_ids), output, _silent)
    else:
        _keep_hidden(source, tokens, output, _silent)
    return info


def _longest_window(vocabulary: int) -> int:
    """Return how many tokens a window of a top-k reference may have: 2 at least, which have one prediction."""
    return max(2, LOGIT_BYTES // (4 * vocabulary))


def _silent(done: float) -> None:
    """Report nothing: one window is one step."""


def _keep_hidden(source: SourceModel, tokens: NDArray[np.int32], output: Path, progress: Progress) -> None:
    hidden = _create(output / "hidden.npy", np.float32, (*tokens.shape, source.head()[0].shape[1]))
    for start, ids in batches(torch.from_numpy(tokens).long()):
        hidden[start : start + len(ids)] = source.hidden_states(ids).numpy()
        progress((start + len(ids)) / len(tokens))
    hidden.flush()


def _keep_exact(
    source: SourceModel, tokens: NDArray[np.int32], first: list[int], output: Path, progress: Progress
) -> ReferenceInfo:
    weight, bias = source.head()
    head_dtype = write_head(weight, output / "head.npy")
    if bias is not None:
        np.save(output / "head-bias.npy", bias.numpy())
    _keep_hidden(source, tokens, output, progress)
    facts = source.head_facts()
    return ReferenceInfo(
        kind="exact",
        architecture=source.architecture,
        windows=tokens.shape[0],
        window_tokens=tokens.shape[1],
        vocabulary_size=weight.shape[0],
        hidden_size=weight.shape[1],
        head_dtype=head_dtype,
        scale=facts.scale,
        soft_cap=facts.soft_cap,
        reproduction_error=None,
        perplexity=UNMEASURED,
        first_token_ids=tuple(first),
    )


def _reproduction_error(source: SourceModel, reference: ExactReference) -> float:
    """Return the largest difference, in nats, between the stored rows and the model's own, over some windows."""
    windows = len(reference.tokens)
    length = min(CHECKED_TOKENS, reference.info.window_tokens)
    largest = 0.0
    for window in sorted({place * windows // CHECKED_WINDOWS for place in range(CHECKED_WINDOWS)}):
        ids = torch.from_numpy(reference.tokens[window : window + 1, :length].astype(np.int64))
        own = torch.log_softmax(source.logits(ids)[0], dim=-1)
        stored = torch.log_softmax(torch.from_numpy(reference.logits(window, 0, length)), dim=-1)
        largest = max(largest, float((stored - own).abs().max()))
    return largest


def _keep_top(
    source: SourceModel, tokens: NDArray[np.int32], first: list[int], output: Path, progress: Progress
) -> ReferenceInfo:
    vocabulary = source.logits(torch.from_numpy(tokens[:1, :1].astype(np.int64))).shape[-1]
    longest = _longest_window(vocabulary)
    if tokens.shape[1] > longest:
        raise InvalidRecipe(
            f"'evaluation.window_tokens' is {tokens.shape[1]}, and this source takes at most {longest}: the logits of "
            "a whole window must be in memory, because they do not come back from hidden states and head; lower it."
        )
    kept = min(KEPT, vocabulary)
    top_ids = _create(output / "top-ids.npy", np.int32, (*tokens.shape, kept))
    top_logprobs = _create(output / "top-logprobs.npy", np.float32, (*tokens.shape, kept))
    target_nll = np.empty((tokens.shape[0], tokens.shape[1] - 1), np.float32)
    for window, ids in enumerate(torch.from_numpy(tokens).long()):
        logits = source.logits(ids[None])[0]
        for start in range(0, len(ids), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            logprobs = torch.log_softmax(logits[block], dim=-1)
            best = logprobs.topk(kept, dim=-1)
            top_ids[window, block], top_logprobs[window, block] = best.indices.numpy(), best.values.numpy()
            following = ids[1:][block, None]
            target_nll[window, block] = -logprobs[: len(following)].gather(1, following)[:, 0].numpy()
        progress((window + 1) / len(tokens))
    np.save(output / "target-nll.npy", target_nll)
    rest = 1 - float(np.exp(top_logprobs.astype(np.float64)).sum(axis=-1).mean())
    top_ids.flush()
    top_logprobs.flush()
    return ReferenceInfo(
        kind="top-k",
        architecture=source.architecture,
        windows=tokens.shape[0],
        window_tokens=tokens.shape[1],
        vocabulary_size=vocabulary,
        hidden_size=source.hidden_size,
        head_dtype=None,
        kept=kept,
        reproduction_error=None,
        perplexity=UNMEASURED,
        first_token_ids=tuple(first),
        notes=(
            "The source's logits do not come back from its hidden states and output head, so the reference keeps the "
            f"{kept} most likely of {vocabulary} tokens; the rest, {max(rest, 0.0):.2%} of the probability on average, "
            "counts as one outcome, which makes every KL divergence a lower bound.",
        ),
    )


def write_head(weight: torch.Tensor, path: Path) -> HeadType:
    """Write float32 weights [vocabulary, hidden] in the narrowest type without loss, and return the name of the type.

    HEAD_ROWS rows are copied at a time. The head of a large vocabulary takes gigabytes, while the whole model is in
    memory. The file is written and not mapped, because a full disk is an error of a write, and a mapping of it kills
    the process.
    """
    name = _narrowest(weight)
    dtype, stored = HEAD_TYPES[name]
    header = {"descr": dtype_to_descr(np.dtype(stored)), "fortran_order": False, "shape": tuple(weight.shape)}
    with path.open("wb") as file:
        write_array_header_1_0(file, header)
        for rows in weight.split(HEAD_ROWS):
            narrow = rows.to(dtype)
            file.write((narrow.view(torch.int16) if name == "bfloat16" else narrow).numpy().tobytes())
    return name


def _narrowest(weight: torch.Tensor) -> HeadType:
    """Return the narrowest type that holds all weights without loss; float32 if one of them is no number."""
    halves: tuple[HeadType, ...] = ("bfloat16", "float16")
    for name in halves:
        dtype, _ = HEAD_TYPES[name]
        if all(torch.equal(rows.to(dtype).float(), rows) for rows in weight.split(HEAD_ROWS)):
            return name
    return "float32"


def _create(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    return open_memmap(path, mode="w+", dtype=dtype, shape=shape)
