"""Measures the noise floor: how far the source is from itself.

No artifact can be asked to be closer to the source than the source's own arithmetic is. The source is measured twice,
by the code that measures artifacts (tasks/evaluation/fidelity.py), on windows spread evenly over the evaluation text:

- in the type in which its weights are stored, bfloat16 or float16. The weights are the same, so all of the difference
  is arithmetic. bfloat16 is coarser than float16, so a float16 source is not measured in bfloat16: rounding its weights
  would be a loss, and no noise. A source that is stored in float32 has no coarser arithmetic of its own.
- once more in float32, window by window. The windows of the reference run together, so sums have another order.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.checkpoint.reasons import reason
from tasks.errors import Corrupt, HallmarkError
from tasks.evaluation.divergence import RowScores
from tasks.evaluation.fidelity import measure_fidelity
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import Noise, NoiseType
from tasks.evaluation.reference_reader import Reference
from tasks.evaluation.source_model import SourceModel

KEPT = ("kld_mean", "kld_p99", "top1_agreement", "delta_ln_perplexity")
"""The numbers that are kept: those that a gate bounds and that noise moves."""

TYPES: Mapping[str, tuple[NoiseType, torch.dtype]] = {
    "bfloat16": ("bfloat16", torch.bfloat16),
    "float16": ("float16", torch.float16),
}
"""By `Analysis.dtype`."""

TOKENS: Mapping[NoiseType, int] = {"bfloat16": 2048, "float16": 512, "float32": 512}
"""Tokens that are measured, in whole windows. 2048 give the mean divergence a standard error of a tenth, on the demo
model and on SmolLM2-135M. A processor without instructions for float16 takes four times as long for it as for float32,
and that noise is far below every bound. Two runs in float32 differ by rounding errors, which need no precision."""

WINDOW_TOKENS = 256
"""Tokens of one window that are measured at most. Their logits fit into the memory that preflight counts."""


def measure_noise(source: SourceModel, reference: Reference, dtype: str) -> tuple[Noise | None, tuple[str, ...]]:
    """Return the noise floor, and a note where the source cannot be run in its own type: then there is none.

    dtype: the type in which the weights are stored; `Analysis.dtype`. The weights of `source` are turned to it, in
        place, so this is the last thing that can be done with the model.
    """
    repeated = _measured(source, reference, TOKENS["float32"])
    if dtype not in TYPES:
        tokens = repeated["kld_mean"].observations
        return Noise(type="float32", tokens=tokens, metrics=_kept(repeated), repeated=repeated["kld_mean"]), ()
    name, narrow = TYPES[dtype]
    try:
        source.turn_to(narrow)
        found = _measured(source, reference, TOKENS[name])
    except Corrupt:
        return None, (f"The source's own logits are not finite in {name}, so its noise was not measured.",)
    except (HallmarkError, MemoryError):
        raise
    except Exception as error:  # a model raises any type
        if "allocate memory" in str(error):
            # torch's own type for it; without memory, nothing is known of the model.
            raise MemoryError(str(error)) from error
        why = reason(f"{type(error).__name__}: {error}").rstrip(".")
        return None, (f"transformers cannot run the source in {name} ({why}), so its noise was not measured.",)
    tokens = found["kld_mean"].observations
    return Noise(type=name, tokens=tokens, metrics=_kept(found), repeated=repeated["kld_mean"]), ()


def _measured(source: SourceModel, reference: Reference, tokens: int) -> Mapping[str, Measurement]:
    part = _SomeWindows(reference, tokens)
    return measure_fidelity(_AsArtifact(source, part), part, _silent).metrics


def _silent(done: float, state: str) -> None:
    """Report nothing: it is one step of the reference."""


def _kept(metrics: Mapping[str, Measurement]) -> dict[str, Measurement]:
    return {name: metrics[name] for name in KEPT}


class _SomeWindows:
    """A part of a reference: windows that are spread evenly over it, and the beginning of each."""

    def __init__(self, whole: Reference, tokens: int) -> None:
        length = min(whole.info.window_tokens, WINDOW_TOKENS)
        windows = max(1, min(whole.info.windows, tokens // length))
        self._whole = whole
        self._windows = np.linspace(0, whole.info.windows - 1, windows).round().astype(int).tolist()
        self.info = whole.info.model_copy(update={"windows": windows, "window_tokens": length, "notes": ()})
        self.tokens: NDArray[np.int32] = whole.tokens[self._windows, :length]

    def compare(self, window: int, start: int, logits: NDArray[np.float32]) -> RowScores:
        """See Reference.compare."""
        return self._whole.compare(self._windows[window], start, logits)

    def negative_log_likelihood(self, window: int) -> NDArray[np.float64]:
        """See Reference.negative_log_likelihood."""
        return self._whole.negative_log_likelihood(self._windows[window])[: self.info.window_tokens - 1]


class _AsArtifact:
    """The source model as far as log-probabilities are measured."""

    def __init__(self, source: SourceModel, reference: Reference) -> None:
        self._source = source
        self.engine = "the source"
        self.vocabulary_size = reference.info.vocabulary_size
        self.context_length = source.context_length

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits after all tokens in one block."""
        yield self._source.logits(torch.tensor([list(token_ids)]))[0].float().numpy()
