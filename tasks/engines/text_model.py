"""What MLflow serves of every artifact of a language model: greedy text, whole or piece by piece, of prompts and chats.

A copy of this file and one of the format's serving module travel in the artifact's `code/`, beside each other as
`hallmark_<format>_serving.py` and `hallmark_<format>_engine.py`; neither imports anything of this repository.
"""

import importlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jinja2 import TemplateError

MAX_TOKENS = 64
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What a decoder puts for the bytes of a character of which some are still to come."""


class Engine(Protocol):
    """A loaded artifact. Of two texts that it continues in turns, each must come out as if it were alone."""

    def prompt_ids(self, prompt: str) -> list[int]:
        """Return the ids of a prompt, opened as the model's texts are."""

    def tokenize(self, text: str) -> list[int]:
        """Return ids: special tokens parsed, none added."""

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the artifact's own template, or None where it has none."""

    def answer(self, token_ids: Sequence[int], max_tokens: int) -> Iterator[int]:
        """Yield greedy tokens up to where the model ends its text or turn, `max_tokens`, or the context is full."""


class TextModel:
    """Greedy continuations of prompts, and answers to chats by the model's own template; for any number of threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
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
        """Yield the text that `predict` gives for this one row, in pieces, as the model says it.

        No piece ends within a character, and none has a part of a stop string.
        """
        chosen = params or {}
        max_tokens = int(chosen.get("max_tokens", MAX_TOKENS))
        if max_tokens < 0:
            raise refusal(f"max_tokens is {max_tokens}; give 0 or more.")
        stop = [str(text) for text in chosen.get("stop", ()) if text]
        with self._one_at_a_time:
            token_ids = self._ids(data)
        yield from before_stop(self._pieces(token_ids, max_tokens), stop)

    def complete(self, prompt: str, max_tokens: int = MAX_TOKENS, stop: Sequence[str] = ()) -> str:
        """Return the greedy continuation of one prompt, cut before the first of the `stop` texts."""
        return "".join(self._whole({"prompt": prompt}, {"max_tokens": max_tokens, "stop": stop}))

    def _whole(self, row: Mapping[str, Any], params: Mapping[str, Any] | None) -> list[str]:
        with self._one_at_a_time:
            return list(self.predict_stream(row, params))

    def _ids(self, row: Mapping[str, Any]) -> list[int]:
        prompt, messages = row.get("prompt"), row.get("messages")
        if isinstance(prompt, str) and messages is None:
            return self.engine.prompt_ids(prompt)
        # MLflow gives a missing prompt as NaN or None, and a list as an array.
        if isinstance(prompt, str) or not isinstance(messages, Iterable) or not list(messages):
            raise refusal(_expected("A row needs one prompt, a string, or messages, and not both"))
        try:
            chat = self.engine.render_chat([dict(message) for message in messages], True)
        except (TemplateError, ValueError, TypeError) as error:
            raise refusal(f"The model's chat template does not take these messages: {error}") from None
        if chat is None:
            raise refusal("The model has no chat template; give a prompt in place of messages.")
        return self.engine.tokenize(chat)

    def _pieces(self, token_ids: Sequence[int], max_tokens: int) -> Iterator[str]:
        """Yield text as soon as its characters are whole.

        Decoded are the tokens since the piece before the last, and not all: what a decoder does to a token depends on
        its neighbour (a space in front, bytes of one character), and no more than that.
        """
        tokens, start, end = list[int](), 0, 0
        told = ""
        answer = self.engine.answer(token_ids, max_tokens)
        while (token := self._next(answer)) is not None:
            tokens.append(token)
            text = self.engine.detokenize(tokens[start:])
            if len(text) > len(told) and not text.endswith(INCOMPLETE):
                yield text[len(told) :]
                start, end = end, len(tokens)
                told = self.engine.detokenize(tokens[start:end])
        yield self.engine.detokenize(tokens[start:])[len(told) :]

    def _next(self, answer: Iterator[int]) -> int | None:
        with self._one_at_a_time:
            try:
                return next(answer, None)
            except ValueError as error:
                raise refusal(str(error)) from None


def before_stop(pieces: Iterable[str], stop: Sequence[str]) -> Iterator[str]:
    """Yield the text of `pieces` up to the first of the `stop` strings; what may be a part of one waits."""
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
    """Return MLflow's exception, for its server passes on the words of no other; ValueError where MLflow is not."""
    try:
        from mlflow.exceptions import MlflowException
    except ImportError:
        return ValueError(reason)
    told: Exception = MlflowException.invalid_parameter_value(reason)
    return told


def _expected(wrong: str) -> str:
    return f'{wrong}; give [{{"prompt": "..."}}] or [{{"messages": [{{"role": "user", "content": "..."}}]}}].'


def load(path: str) -> TextModel:
    """Load the artifact in the folder `path`, in the engine of the module beside this one."""
    engine = importlib.import_module(__name__.replace("_serving", "_engine"))
    # Not every system can tell which cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return TextModel(engine.open_engine(Path(path), cores or 1))


_load_pyfunc = load
