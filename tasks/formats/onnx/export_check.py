"""Compares the logits of an exported graph with those of its source model, before the graph is accepted.

Two sequences, one of them padded on the left, are run in one call, and again in parts with the KV cache. Comparing only
the most likely tokens would not be enough: a wrong rotary base moves logits by hundredths and keeps their order.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from tasks.engines.failures import engine_at_work
from tasks.errors import Corrupt
from tasks.formats.onnx.export import CachedModel, cache_shapes

BATCH, LENGTH, PADDING = 2, 24, 3
# Tokens per call of the run in parts: the first call has an empty cache, one has several tokens, two have one token.
PARTS = (16, 6, 1, 1)
# As a share of the largest logit. Another order of fp32 sums was measured to cause 1e-6 to 1e-5.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Expectation:
    """The inputs of the comparison and the source model's logits.

    input_ids, attention_mask, position_ids: [BATCH, LENGTH].
    logits: [BATCH, LENGTH, vocabulary].
    shapes: those of `cache_shapes`, one tuple for each layer.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    logits: NDArray[np.float32]
    shapes: list[tuple[int, int, int, int]]


def expect(wrapped: CachedModel) -> Expectation:
    """Run the source model on random tokens, drawn with a fixed seed, and return inputs and logits."""
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


def check(path: Path, expected: Expectation, threads: int) -> float:
    """Return the largest difference of a logit.

    Raises MemoryError, and Corrupt if it exceeds TOLERANCE times the largest logit or if onnxruntime refuses the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Prepacking would copy every matrix, which is not worth it for so few tokens.
    options.add_session_config_entry("session.disable_prepacking", "1")
    with engine_at_work(
        lambda words: Corrupt(f"onnxruntime cannot load {path.name}: {words}; leave the ONNX targets out.")
    ):
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    real = expected.attention_mask.astype(bool)
    bound = TOLERANCE * max(1.0, float(np.abs(expected.logits[real]).max()))
    largest = 0.0
    for parts, how in (((LENGTH,), "run in one call"), (PARTS, "run in parts with the KV cache")):
        difference = float(np.abs(_run(session, expected, parts) - expected.logits)[real].max())
        # Written this way round so that NaN fails: NaN compares false with everything.
        if not difference <= bound:
            raise Corrupt(
                f"{path.name} differs from the source model by {difference:.3g} in a logit when {how} "
                f"(rounding explains at most {bound:.3g}): the export is wrong; leave the ONNX targets out."
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
