"""Measures a GGUF artifact in llama.cpp, on the very engine code that serves it."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from tasks.engines.llama_cpp.serving import Engine
from tasks.engines.runner import Generation, Runner
from tasks.errors import Corrupt
from tasks.formats.gguf.inspect import model_file


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the folder's GGUF file; raises Corrupt where there is none, several, or llama.cpp cannot load it."""
    path = model_file(folder)
    try:
        return LlamaCppRunner(Engine(path, threads))
    except ValueError as error:
        raise Corrupt(f"{path.name}: {error}") from error


class LlamaCppRunner:
    """A Runner over one GGUF file."""

    emulated = False

    def __init__(self, engine: Engine) -> None:
        self.engine = f"llama.cpp {llama_cpp.__version__}"
        self._engine = engine
        self.vocabulary_size = engine.vocabulary_size
        self.context_length = engine.context_length

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield logits, blocks of [block, vocabulary]; see Runner."""
        return self._engine.logits(token_ids)

    def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()) -> Generation:
        """Continue greedily, with the KV cache; see Runner."""
        stops, generated, seconds = set(stop_ids), list[int](), list[float]()
        began = time.perf_counter()
        for token in self._engine.greedy(token_ids, max_tokens):
            if token in stops:
                break
            generated.append(token)
            seconds.append(time.perf_counter() - began)
        return Generation(generated, seconds)

    def tokenize(self, text: str) -> list[int]:
        """Return ids by llama.cpp's own tokenizer."""
        return self._engine.tokenize(text)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return self._engine.detokenize(token_ids)

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the file's own template."""
        return self._engine.render_chat(messages, add_generation_prompt)

    def close(self) -> None:
        """Free the engine's memory."""
        self._engine.close()
