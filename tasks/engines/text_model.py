"""What every engine offers, the one greedy loop over it, and what MLflow serves with that loop.

`LoadedModel` is the protocol of an artifact that an engine has loaded. `greedy` and `logits` are written over it once:
serving, measuring and timing run the same loop.

A copy of this file and one of the engine's serving module travel in the artifact's `code/`, beside each other as
`hallmark_<format>_serving.py` and `hallmark_<format>_engine.py`. Neither imports anything of this repository, and they
do not import each other's names: a serving module follows the protocol by shape.
"""

import importlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jinja2 import TemplateError

if TYPE_CHECKING:  # This module is imported where DAGs are parsed, and numpy is heavy.
    import numpy as np
    from numpy.typing import NDArray

MAX_TOKENS = 64
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What a decoder puts for the bytes of a character of which some are still to come."""

TAIL_TOKENS = 64
"""So many of a prompt's last tokens are decoded with its continuation. A decoder looks at few neighbours."""

CHARACTER_BYTES = 4
"""The most bytes of a character, and so the most tokens that one character has."""


class LanguageModel(Protocol):
    """A model that reads sequences of tokens. Not for use by two threads at once.

    context_length: the most tokens that one sequence may have.
    block_tokens: the most tokens that one call of `advance` takes. It bounds the memory of a call.
    block_rows: the most tokens that one call takes when the logits after all of them are wanted; at most
        `block_tokens`. A row of logits is as long as the vocabulary.
    """

    @property
    def context_length(self) -> int: ...

    @property
    def block_tokens(self) -> int: ...

    @property
    def block_rows(self) -> int: ...

    def start(self, length: int) -> Any:
        """Return the state of a fresh sequence.

        length: how many tokens the sequence is going to have. It may get more. A model may use other rotary factors
            beyond some length, and then uses them from the first token on.

        Several sequences may be read in turns. Each gives what it would give alone.
        """

    def advance(self, state: Any, token_ids: Sequence[int], last_only: bool = False) -> "NDArray[np.float32]":
        """Read the next tokens of a sequence and return logits, float32 [rows, vocabulary].

        token_ids: one token at least; at most `block_rows`, or `block_tokens` with `last_only`.
        last_only: return one row, the logits after the last token, in place of a row for each token.

        The array may be the engine's own memory: it is valid until the next call, and must not be written to.
        """


class LoadedModel(LanguageModel, Protocol):
    """An artifact that an engine has loaded, with its own tokenizer and chat template.

    name: the engine's name and version, such as "llama.cpp 0.3.36".
    vocabulary_size: the length of a row of logits.
    """

    @property
    def name(self) -> str: ...

    @property
    def vocabulary_size(self) -> int: ...

    def ends(self, token: int) -> bool:
        """Return whether the model ends a text or a turn with this token, by the artifact's own configuration."""

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Return the ids of `text`. Special tokens in the text are parsed.

        add_special_tokens: add what the artifact's tokenizer puts around a text, such as BOS.
        """

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the artifact's own template, or None where it has none."""

    def close(self) -> None:
        """Free the memory. The model cannot be used after that."""


def greedy(
    model: LanguageModel, token_ids: Sequence[int], max_tokens: int, ends: Callable[[int], bool]
) -> Iterator[int]:
    """Continue a prompt greedily: yield the most likely next token, the lowest id of equally likely ones.

    Ends at a token for which `ends` is true (which is not yielded), after `max_tokens`, or when the context is full.
    Raises ValueError for a prompt without tokens, and for one that is longer than the context.
    """
    if not token_ids:
        raise ValueError("The prompt has no tokens; give it at least one character.")
    _check_length(model, token_ids)
    count = min(max_tokens, model.context_length - len(token_ids))
    state = model.start(len(token_ids))
    unread = token_ids
    for _ in range(count):
        for block in _blocks(unread, model.block_tokens):
            rows = model.advance(state, block, last_only=True)
        token = int(rows[-1].argmax())
        if ends(token):
            return
        yield token
        unread = [token]


def logits(model: LanguageModel, token_ids: Sequence[int]) -> "Iterator[NDArray[np.float32]]":
    """Yield the logits after every token of a fresh sequence in blocks, float32 [rows, vocabulary].

    Row i of all blocks together is of the token after token_ids[: i + 1]. No token is added, such as BOS. A block is
    valid until the next one is asked for, and must not be written to.
    Raises ValueError for a sequence that is longer than the context.
    """
    _check_length(model, token_ids)
    state = model.start(len(token_ids))
    for block in _blocks(token_ids, model.block_rows):
        yield model.advance(state, block)


def _check_length(model: LanguageModel, token_ids: Sequence[int]) -> None:
    if len(token_ids) > model.context_length:
        raise ValueError(f"The text has {len(token_ids)} tokens, the model takes {model.context_length}; shorten it.")


def _blocks(token_ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (token_ids[start : start + size] for start in range(0, len(token_ids), size))


def first_ids(model: LoadedModel) -> list[int]:
    """Return what the artifact's tokenizer puts before a text: BOS in most cases, or nothing."""
    bare, whole = model.tokenize("a"), model.tokenize("a", add_special_tokens=True)
    starts = (start for start in range(len(whole)) if whole[start : start + len(bare)] == bare)
    return whole[: next(starts, 0)]


def continuation_pieces(
    detokenize: Callable[[Sequence[int]], str], prompt_ids: Sequence[int], tokens: Iterable[int]
) -> Iterator[str]:
    """Yield the text of `tokens`, which continue a prompt, as soon as its characters are complete.

    The tokens are decoded behind the prompt's last ones: many decoders drop the space before the first word of what
    they decode. Each step decodes only the tokens since the piece before the last. A decoder treats a token by its
    neighbour (a space in front, bytes of one character), so earlier tokens change nothing.
    """
    read = _tail(detokenize, prompt_ids)
    start, end = 0, len(read)
    told = detokenize(read).rstrip(INCOMPLETE)
    for token in tokens:
        read.append(token)
        text = detokenize(read[start:])
        if len(text) > len(told) and not text.endswith(INCOMPLETE):
            yield text[len(told) :]
            start, end = end, len(read)
            told = detokenize(read[start:end])
    yield detokenize(read[start:])[len(told) :]


def _tail(detokenize: Callable[[Sequence[int]], str], prompt_ids: Sequence[int]) -> list[int]:
    """Return the prompt's last tokens, from the beginning of a character on."""
    tail = list[int]()
    for size in range(TAIL_TOKENS, TAIL_TOKENS + CHARACTER_BYTES):
        tail = list(prompt_ids[-size:])
        if not detokenize(tail).startswith(INCOMPLETE):
            break
    return tail


class TextModel:
    """Greedy continuations of prompts, and answers to chats by the model's own template. Safe for several threads."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._first_ids = first_ids(model)
        self._one_at_a_time = threading.RLock()

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return a frame with the column `text`, row for row.

        model_input: a frame with the column `prompt`, texts to be continued as they are, or `messages`, chats as lists
            of {"role": ..., "content": ...} to be answered.
        params: max_tokens, at most so many tokens (64); stop, strings at the first of which the text is cut.

        Raises MLflow's exception, or ValueError where there is no MLflow, for an input that cannot be answered.
        """
        columns = [name for name in ("prompt", "messages") if name in model_input]
        rows = zip(*(model_input[name] for name in columns), strict=True)
        texts = ["".join(self._whole(dict(zip(columns, row, strict=True)), params)) for row in rows]
        if not texts:
            raise refusal(_expected("The input has no row with a prompt or messages"))
        return type(model_input)({"text": texts}, index=model_input.index)

    def predict_stream(self, data: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Iterator[str]:
        """Yield the text that `predict` gives for this one row, piece by piece as the model generates it.

        No piece ends within a character. No piece holds a part of a stop string.
        """
        chosen = params or {}
        max_tokens = int(chosen.get("max_tokens", MAX_TOKENS))
        if max_tokens < 0:
            raise refusal(f"max_tokens is {max_tokens}; give 0 or more.")
        given = chosen.get("stop", ())
        stop = [str(text) for text in ([given] if isinstance(given, str) else given) if text]
        with self._one_at_a_time:
            token_ids = self.input_ids(data)
        yield from before_stop(self._pieces(token_ids, max_tokens), stop)

    def complete(self, prompt: str, max_tokens: int = MAX_TOKENS, stop: str | Sequence[str] = ()) -> str:
        """Return the greedy continuation of one prompt, cut before the first of the `stop` texts, or before the one."""
        return "".join(self._whole({"prompt": prompt}, {"max_tokens": max_tokens, "stop": stop}))

    def prompt_ids(self, prompt: str) -> list[int]:
        """Return the ids of a prompt that begins as the model's texts do: with its BOS, if any, and only once."""
        ids = self.model.tokenize(prompt)
        return ids if ids[: len(self._first_ids)] == self._first_ids else [*self._first_ids, *ids]

    def _whole(self, row: Mapping[str, Any], params: Mapping[str, Any] | None) -> list[str]:
        with self._one_at_a_time:
            return list(self.predict_stream(row, params))

    def input_ids(self, row: Mapping[str, Any]) -> list[int]:
        """Return the ids that the model reads for one row of `predict`; raises as `predict` does."""
        prompt, messages = row.get("prompt"), row.get("messages")
        if isinstance(prompt, str) and messages is None:
            return self.prompt_ids(prompt)
        # MLflow gives a missing prompt as NaN or None, and a list as an array.
        if isinstance(prompt, str) or not isinstance(messages, Iterable) or not list(messages):
            raise refusal(_expected("A row needs one prompt, a string, or messages, and not both"))
        try:
            chat = self.model.render_chat([dict(message) for message in messages], True)
        except (TemplateError, ValueError, TypeError) as error:
            raise refusal(f"The model's chat template does not take these messages: {error}") from None
        if chat is None:
            raise refusal("The model has no chat template; give a prompt in place of messages.")
        return self.model.tokenize(chat)

    def _pieces(self, token_ids: Sequence[int], max_tokens: int) -> Iterator[str]:
        answer = greedy(self.model, token_ids, max_tokens, self.model.ends)
        return continuation_pieces(self.model.detokenize, token_ids, iter(lambda: self._next(answer), None))

    def _next(self, answer: Iterator[int]) -> int | None:
        with self._one_at_a_time:
            try:
                return next(answer, None)
            except ValueError as error:
                raise refusal(str(error)) from None


def before_stop(pieces: Iterable[str], stop: Sequence[str]) -> Iterator[str]:
    """Yield the text of `pieces` up to the first of the `stop` strings.

    Text that may be the beginning of a stop string is held back until that is decided.
    """
    held = ""
    for piece in pieces:
        held += piece
        places = [held.index(text) for text in stop if text in held]
        if places:
            held = held[: min(places)]
            break
        begun = [size for text in stop for size in range(1, len(text)) if held.endswith(text[:size])]
        ready = len(held) - max(begun, default=0)
        if ready:
            yield held[:ready]
        held = held[ready:]
    if held:
        yield held


def refusal(reason: str) -> Exception:
    """Return MLflow's exception, because its server passes on the message of no other; ValueError without MLflow."""
    try:
        from mlflow.exceptions import MlflowException
    except ImportError:
        return ValueError(reason)
    told: Exception = MlflowException.invalid_parameter_value(reason)
    return told


def _expected(wrong: str) -> str:
    return f'{wrong}; give [{{"prompt": "..."}}] or [{{"messages": [{{"role": "user", "content": "..."}}]}}].'


def load(path: str) -> TextModel:
    """Load the artifact in the folder `path` with the serving module beside this one."""
    serving = importlib.import_module(__name__.replace("_serving", "_engine"))
    # Not every system can tell which cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return TextModel(serving.open_engine(Path(path), cores or 1))


_load_pyfunc = load
