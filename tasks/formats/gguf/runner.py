"""Measures a GGUF artifact in llama.cpp, on the very engine code that serves it."""

import os
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.runner import Generation, Runner
from tasks.formats.gguf.inspect import model_file
from tasks.runtimes import llama_cpp as built_llama_cpp

if TYPE_CHECKING:
    from tasks.formats.gguf.serving import Engine


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the folder's GGUF file; raises Corrupt where there is none, several, or llama.cpp cannot load it."""
    # The bindings look for the engine's libraries when they are imported.
    os.environ.setdefault("LLAMA_CPP_LIB_PATH", str(built_llama_cpp().lib))
    return LlamaCppRunner(folder, threads)


class LlamaCppRunner:
    """A Runner over one GGUF file."""

    emulated = False

    def __init__(self, folder: Path, threads: int) -> None:
        from llama_cpp import __version__

        from tasks.formats.gguf.serving import Engine

        self.engine = f"llama.cpp {__version__}"
        self._engine: Engine = Engine(model_file(folder), threads)
        self.vocabulary_size = self._engine.vocabulary_size
        self.context_length = self._engine.context_length
        self._template = self._engine.chat_template()

    def logprobs(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        for logits in self._engine.logits(token_ids):
            shifted = logits - logits.max(axis=1, keepdims=True)
            shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
            yield shifted

    def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()) -> Generation:
        stops, generated, seconds = set(stop_ids), list[int](), list[float]()
        self._engine.reserve(len(token_ids) + max_tokens)
        began = time.perf_counter()
        for token in islice(self._engine.greedy(token_ids), max_tokens):
            if token in stops:
                break
            generated.append(token)
            seconds.append(time.perf_counter() - began)
        return Generation(generated, seconds)

    def tokenize(self, text: str) -> list[int]:
        return self._engine.tokenize(text)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return self._engine.detokenize(token_ids)

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the file's template, by the bindings' own sandboxed Jinja."""
        if self._template is None:
            return None
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        formatter = Jinja2ChatFormatter(
            template=self._template,
            eos_token=self._engine.token_text(self._engine.eos()),
            bos_token=self._engine.token_text(self._engine.bos()),
            add_generation_prompt=add_generation_prompt,
        )
        return str(formatter(messages=list(messages)).prompt)  # type: ignore[arg-type]

    def close(self) -> None:
        self._engine.close()
