"""Opens what was made in the engine that serves it: the same calls as the release's own, and nothing around them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class GgufModel:
    """llama.cpp through its Python bindings."""

    def __init__(self, folder: Path, threads: int) -> None:
        from tasks.engines.llama_cpp.serving import Engine

        (path,) = folder.glob("*.gguf")
        self.engine = Engine(path, threads)

    def logprobs(self, ids: list[int]) -> Iterator[NDArray[np.float32]]:
        """Yield natural-log probabilities by blocks of rows."""
        return map(log_softmax, self.engine.logits(ids))

    def generate(self, ids: list[int], count: int) -> Iterator[int]:
        """Yield greedy tokens."""
        return self.engine.greedy(ids, count)


class ServedModel:
    """onnxruntime or transformers."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def logprobs(self, ids: list[int]) -> Iterator[NDArray[np.float32]]:
        """Yield natural-log probabilities by blocks of rows."""
        return map(log_softmax, self.engine.logits(ids))

    def generate(self, ids: list[int], count: int) -> Iterator[int]:
        """Yield greedy tokens."""
        found: Iterator[int] = self.engine.stream(ids, count)
        return found


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalize rows of logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    normal: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normal


def open_model(target: str, folder: Path, threads: int) -> GgufModel | ServedModel:
    """Load what was made for a target."""
    if target.startswith("gguf-"):
        return GgufModel(folder, threads)
    if target.startswith("onnx-"):
        from tasks.engines.onnxruntime.serving import OnnxEngine

        return ServedModel(OnnxEngine(folder, threads))
    from tasks.engines.transformers.serving import TransformersEngine

    return ServedModel(TransformersEngine(folder, threads))
