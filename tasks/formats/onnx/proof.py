"""Proves an exported graph against the model it came from, before anything is built on it.

Two sequences, one of them padded on the left, are read at once, and again in parts with the cache carried over. An
equal arg max is no proof: a wrong rotary base moves logits by hundredths and leaves the arg max alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from tasks.errors import Corrupt
from tasks.formats.onnx.export import CachedModel, cache_shapes

BATCH, LENGTH, PADDING = 2, 24, 3
# The graph is run in these parts: a first one on an empty cache, one of several tokens, and single tokens.
PARTS = (16, 6, 1, 1)
# fp32 sums in another order: measured 1e-6 to 1e-5 of the largest logit.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Expectation:
    """What the source model says on the proof's tokens, and the shapes of its cache."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    logits: NDArray[np.float32]
    shapes: list[tuple[int, int, int, int]]


def expect(wrapped: CachedModel) -> Expectation:
    """Return what the source model says; the tokens are drawn with a fixed seed."""
    vocabulary = int(wrapped.model.get_input_embeddings().num_embeddings)
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(0, vocabulary, (BATCH, LENGTH), generator=generator)
    mask = torch.ones((BATCH, LENGTH), dtype=torch.int64)
    mask[1, :PADDING] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    shapes = cache_shapes(wrapped.model)
    empty = [(torch.zeros(BATCH, kh, 0, kw), torch.zeros(BATCH, vh, 0, vw)) for kh, kw, vh, vw in shapes]
    logits = wrapped(input_ids, mask, positions, empty)[0]
    return Expectation(input_ids.numpy(), mask.numpy(), positions.numpy(), logits.numpy(), shapes)


def prove(path: Path, expected: Expectation, threads: int) -> float:
    """Return the largest difference of a logit; raises Corrupt where it exceeds TOLERANCE of the largest logit."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # A second copy of every matrix, in the order that is quickest for many tokens, is not worth making for so few.
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise Corrupt(f"onnxruntime cannot load {path.name}: {str(error).splitlines()[0][:300]}") from error
    real = expected.attention_mask.astype(bool)
    bound = TOLERANCE * max(1.0, float(np.abs(expected.logits[real]).max()))
    largest = 0.0
    for parts, how in (((LENGTH,), "read at once"), (PARTS, "read in parts with the KV cache")):
        difference = float(np.abs(_run(session, expected, parts) - expected.logits)[real].max())
        # A NaN is no pass: it compares false with everything.
        if not difference <= bound:
            raise Corrupt(
                f"{path.name} differs from the source model by {difference:.3g} in a logit when {how} "
                f"(at most {bound:.3g} is rounding): the export is wrong; leave the ONNX targets out for this model."
            )
        largest = max(largest, difference)
    return largest


def _run(session: Any, expected: Expectation, parts: tuple[int, ...]) -> NDArray[np.float32]:
    names = [given.name for given in session.get_inputs()]
    caches = [name for name in names if name.startswith("past_key_values.")]
    widths = [shape for kh, kw, vh, vw in expected.shapes for shape in ((kh, kw), (vh, vw))]
    past = [np.zeros((BATCH, heads, 0, width), dtype=np.float32) for heads, width in widths]
    found, start = [], 0
    for size in parts:
        end = start + size
        feeds = {
            "input_ids": expected.input_ids[:, start:end],
            "attention_mask": expected.attention_mask[:, :end],
            "position_ids": expected.position_ids[:, start:end],
            **dict(zip(caches, past, strict=True)),
        }
        logits, *past = session.run(None, {name: feeds[name] for name in names})
        found.append(logits)
        start = end
    return np.concatenate(found, axis=1)
