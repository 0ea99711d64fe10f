"""Opens what was made in the engine that serves it: the same calls as the release's own, and nothing around them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.engines.text_model import LoadedModel, greedy, logits


class HandModel:
    """An artifact in its engine."""

    def __init__(self, engine: LoadedModel) -> None:
        self.engine = engine

    def logprobs(self, ids: list[int]) -> Iterator[NDArray[np.float32]]:
        """Yield natural-log probabilities by blocks of rows."""
        return map(log_softmax, logits(self.engine, ids))

    def generate(self, ids: list[int], count: int) -> Iterator[int]:
        """Yield greedy tokens."""
        return greedy(self.engine, ids, count, lambda _: False)


def log_softmax(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalize rows of logits."""
    shifted = rows - rows.max(axis=1, keepdims=True)
    normal: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normal


def open_model(target: str, folder: Path, threads: int) -> HandModel:
    """Load what was made for a target."""
    open_engine: Callable[[Path, int], LoadedModel]
    if target.startswith("gguf-"):
        from tasks.engines.llama_cpp.serving import open_engine
    elif target.startswith("onnx-"):
        from tasks.engines.onnxruntime.serving import open_engine
    else:
        from tasks.engines.transformers.serving import open_engine
    return HandModel(open_engine(folder, threads))
