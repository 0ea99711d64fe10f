"""The runner of ONNX artifacts: the very engine that is copied into them, behind evaluation's interface."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tasks.errors import Corrupt
from tasks.evaluation.runner import Generation, Runner
from tasks.formats.onnx.serving import OnnxEngine


class OnnxRunner:
    """An artifact in onnxruntime on the processor."""

    engine = f"onnxruntime {onnxruntime.__version__}"
    emulated = False

    def __init__(self, engine: OnnxEngine) -> None:
        self._engine: OnnxEngine | None = engine
        self.vocabulary_size = engine.vocabulary_size
        self.context_length = engine.context_length
        self.eos_ids = engine.eos_ids

    @property
    def _open(self) -> OnnxEngine:
        if self._engine is None:
            raise RuntimeError("this runner has been closed")
        return self._engine

    def logprobs(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield log-probabilities in blocks, the cache carried over; memory is bounded by a block."""
        return self._open.logprobs(token_ids)

    def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()) -> Generation:
        """Continue greedily with the cache."""
        tokens, seconds = self._open.generate(token_ids, max_tokens, stop_ids)
        return Generation(tokens, seconds)

    def tokenize(self, text: str) -> list[int]:
        """Return ids by the artifact's tokenizer.json."""
        return self._open.tokenize(text)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return self._open.detokenize(token_ids)

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the artifact's template."""
        return self._open.render_chat(messages, add_generation_prompt)

    def close(self) -> None:
        """Free the session."""
        self._engine = None


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the artifact in `folder`; raises Corrupt where the engine refuses it."""
    if not (folder / "model.onnx").is_file():
        raise Corrupt("The artifact has no model.onnx; make it again.")
    try:
        return OnnxRunner(OnnxEngine(folder, threads))
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise Corrupt(f"onnxruntime cannot load the artifact: {str(error).splitlines()[0][:400]}") from error
