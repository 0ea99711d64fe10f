"""The runner: an artifact as it is measured, in the engine that will serve it."""

import reprlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.engines.batch import GreedyBatch, OpenBatch
from tasks.engines.failures import engine_at_work
from tasks.engines.text_model import LoadedModel, TextModel, continuation_pieces, greedy, logits
from tasks.errors import MAKE_AGAIN, Corrupt, Unsupported
from tasks.host.at_work import at_work_on

_shown = reprlib.Repr()
_shown.maxstring, _shown.maxlist, _shown.maxother = 200, 20, 200

Enough = Callable[[list[int]], bool]
"""Whether these tokens of a continuation are all that the caller needs."""


@dataclass(frozen=True)
class Generation:
    """Greedy tokens without the prompt's, and for each the seconds from the call until it was there."""

    token_ids: list[int]
    seconds: list[float]


class GivesLogits(Protocol):
    """What of a runner the comparison of windows uses. Runner describes each."""

    engine: str
    vocabulary_size: int
    context_length: int

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """See Runner.logits."""


class Runner:
    """One loaded artifact. It runs the code that serves the artifact, so the numbers are those of serving.

    engine: the engine's name and version, such as "llama.cpp 0.3.36".
    context_length: the most tokens that one sequence may have.
    """

    def __init__(self, model: LoadedModel, open_batch: OpenBatch | None = None) -> None:
        """Take over a loaded artifact. `open_batch`: decodes several sequences of it together; None if nothing does."""
        self._loaded: LoadedModel | None = model
        self._open_batch = open_batch
        self.engine = model.name
        self.vocabulary_size = model.vocabulary_size
        self.context_length = model.context_length

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits after every given token in blocks [rows, vocabulary]; see `text_model.logits`.

        Raises Corrupt where the engine fails.
        """
        at_work_on(f"the logits of {_tokens(token_ids)}")
        return self._run(logits(self._model, token_ids))

    def generate(
        self,
        token_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        enough: Enough | None = None,
    ) -> Generation:
        """Continue greedily until a stop id (which is not returned), `max_tokens`, or the end of the context.

        enough: called after each token with those so far; the continuation ends as soon as it returns True.
        Raises ValueError for a prompt without tokens, and for one that is longer than the context; Corrupt where the
        engine fails.
        """
        at_work_on(f"a continuation of {_tokens(token_ids)}")
        tokens, seconds = list[int](), list[float]()
        model = self._model
        began = time.perf_counter()
        with self._engine_at_work():
            for token in greedy(model, token_ids, max_tokens, frozenset(stop_ids).__contains__):
                tokens.append(token)
                seconds.append(time.perf_counter() - began)
                if enough is not None and enough(tokens):
                    break
        return Generation(tokens, seconds)

    def together(self, prompts: NDArray[np.int64], max_tokens: int) -> GreedyBatch:
        """Read prompts of equal length together, [sequences, tokens]; the caller closes what is returned.

        max_tokens: the most tokens by which each is going to be continued.

        Raises Unsupported where the engine does not decode them together, and MemoryError where there is no memory for
        them. The artifact may still be sound: serving reads one sequence at a time.
        """
        if self._open_batch is None:
            raise Unsupported(f"{self.engine} decodes one sequence at a time here.")
        sequences, length = prompts.shape
        at_work_on(f"{sequences} prompts of {length} tokens, decoded together")
        return GreedyBatch(self._open_batch, prompts, max_tokens, self._model.block_tokens)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """The tokens at which serving ends a text, of the whole vocabulary."""
        return frozenset(filter(self._model.ends, range(self.vocabulary_size)))

    def input_ids(self, row: Mapping[str, Any]) -> list[int]:
        """Return the ids that serving reads for a row with a `prompt` or `messages`; see `TextModel.input_ids`."""
        return TextModel(self._model).input_ids(row)

    def continuation_text(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
        """Return the text that serving gives where the model continues a prompt with `token_ids`: all its pieces."""
        return "".join(continuation_pieces(self._model.detokenize, prompt_ids, token_ids))

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of `text` by the artifact's own tokenizer: special tokens parsed, none added."""
        at_work_on(f"the tokens of the text {_shown.repr(text)}")
        return self._model.tokenize(text)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        at_work_on(f"the text of {_tokens(token_ids)}")
        return self._model.detokenize(token_ids)

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the artifact's own template, or None where it has none."""
        at_work_on(f"the chat {_shown.repr(list(messages))}")
        return self._model.render_chat(messages, add_generation_prompt)

    def close(self) -> None:
        """Free the engine's memory. No other method may be called after that."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None

    def _run(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        with self._engine_at_work():
            yield from blocks

    def _engine_at_work(self) -> AbstractContextManager[None]:
        """Raise Corrupt, with the engine's own words, where it cannot run what it has loaded."""
        return engine_at_work(
            lambda words: Corrupt(f"{words}: {self.engine} cannot run the artifact; {MAKE_AGAIN}."), ValueError
        )

    @property
    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise RuntimeError("this runner has been closed")
        return self._loaded


def _tokens(token_ids: Sequence[int]) -> str:
    return f"{len(token_ids)} tokens, {_shown.repr(list(token_ids[:21]))}"
