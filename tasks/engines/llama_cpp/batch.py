"""Decodes several sequences together in llama.cpp: in a context of their own, beside the one that serves.

Models with recurrent layers, such as Mamba and Qwen3-Next, are refused: when llama.cpp 0.3.36 reads them together, on
some processors only the first sequence gets its own tokens. One at a time, in one context, each gets them.
"""

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from tasks.engines.llama_cpp.serving import CONTEXT_STEP, LlamaCppEngine, Place, decode
from tasks.errors import Unsupported


class LlamaCppBatch:
    """A context for some sequences. Each has the same part of it, so that none computes attention to another's keys."""

    def __init__(self, engine: LlamaCppEngine, sequences: int, length: int) -> None:
        """Make the context.

        Raises Unsupported for a model with recurrent layers, and MemoryError where there is no memory for the context.
        """
        if engine.is_recurrent:
            raise Unsupported(
                f"{engine.name} gives wrong tokens for several sequences of a model with recurrent layers"
            )
        # llama.cpp divides the context by the sequences. Each part is a multiple of CONTEXT_STEP.
        room = -(-length // CONTEXT_STEP) * CONTEXT_STEP
        self._context = engine.new_context(sequences * room, rows=sequences, sequences=sequences)
        self._vocabulary_size, self._read = engine.vocabulary_size, 0

    def advance(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the next tokens of every sequence; the rows are the engine's memory, valid until the next call."""
        sequences, tokens = token_ids.shape
        decode(
            self._context,
            [
                Place(token, self._read + index, index == tokens - 1, sequence)
                for sequence, row in enumerate(token_ids.tolist())
                for index, token in enumerate(row)
            ],
        )
        self._read += tokens
        pointer = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, shape=(sequences, self._vocabulary_size))

    def close(self) -> None:
        """Free the context."""
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            self._context = None
