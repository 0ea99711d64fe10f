"""Serves a GGUF folder through llama.cpp's own Python bindings.

Self-contained: a copy of this file travels with every artifact, so it imports the engine and numpy only. The runner
that measures artifacts is built on the same engine, so what is measured is what is served.
"""

import ctypes
import logging
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from numpy.typing import NDArray

BATCH = 512
"""Prompt tokens that the engine takes at a time: llama.cpp's own default."""

LOGIT_BYTES = 64 << 20
"""Memory for the logits of one block of tokens, where those of all tokens are asked for."""

FIRST_CONTEXT = 2048
"""Tokens that the first context has room for; it is made anew when a longer sequence comes."""

logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)
llama_cpp.llama_backend_init()


class Engine:
    """One loaded GGUF file. Not for several threads at once; of two texts continued in turns, each is read again."""

    def __init__(self, path: Path, threads: int) -> None:
        parameters = llama_cpp.llama_model_default_params()
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not model:
            raise ValueError(f"llama.cpp cannot load {path.name}; its own words are above.")
        self._model: Any = model
        self._context: Any = None
        self._sequence: Sequence[int] = ()
        self._room = 0
        self._threads = threads
        self._vocabulary: Any = llama_cpp.llama_model_get_vocab(model)
        self.vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self._vocabulary))
        self.context_length = int(llama_cpp.llama_model_n_ctx_train(model))
        self._block = max(1, min(BATCH, LOGIT_BYTES // (4 * self.vocabulary_size)))
        self._make_room(min(FIRST_CONTEXT, self.context_length))

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a text: special tokens in it are parsed, none is added."""
        raw = text.encode()
        ids = (llama_cpp.llama_token * (len(raw) + 2))()
        count = llama_cpp.llama_tokenize(self._vocabulary, raw, len(raw), ids, len(ids), False, True)
        if count < 0:
            raise ValueError(f"llama.cpp cannot tokenize a text of {len(raw)} bytes")
        return list(ids[:count])

    def prompt_ids(self, prompt: str) -> list[int]:
        """Return the ids of a prompt, opened as the model's texts are: by BOS where the file says so, and only once."""
        ids, first = self.tokenize(prompt), self.bos()
        opened = not llama_cpp.llama_vocab_get_add_bos(self._vocabulary) or ids[:1] == [first]
        return ids if opened else [first, *ids]

    def piece(self, token: int, special: bool = False) -> bytes:
        """Return a token's bytes, which may be part of a character; empty for a special token unless asked for."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return b"".join(map(self.piece, token_ids)).decode("utf-8", "replace")

    def token_text(self, token: int) -> str:
        """Return a token's text, special or not; empty for the id -1, which means that there is none."""
        return "" if token < 0 else self.piece(token, special=True).decode("utf-8", "replace")

    def bos(self) -> int:
        """Return the id of the token that begins a text, -1 where there is none."""
        return int(llama_cpp.llama_vocab_bos(self._vocabulary))

    def eos(self) -> int:
        """Return the id of the token that ends a text, -1 where there is none."""
        return int(llama_cpp.llama_vocab_eos(self._vocabulary))

    def ends(self, token: int) -> bool:
        """Whether the model ends a text or a turn by this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocabulary, token))

    def chat_template(self) -> str | None:
        """Return the Jinja text of the chat template in the file, None where it carries none."""
        template = llama_cpp.llama_model_chat_template(self._model, None)
        return None if template is None else template.decode()

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits after every token of a fresh sequence: [block, vocabulary], each valid until the next."""
        self._begin(len(token_ids))
        for start in range(0, len(token_ids), self._block):
            block = token_ids[start : start + self._block]
            self._decode(block, start, len(block))
            yield self._outputs(len(block))

    def greedy(self, token_ids: Sequence[int], max_tokens: int) -> Iterator[int]:
        """Yield the most likely next token of a fresh sequence, the lowest id of equally likely ones.

        Ends after `max_tokens`, or when the model's context is full.
        """
        if not token_ids:
            raise ValueError("The prompt has no tokens; give it at least one character.")
        self._check_length(len(token_ids))
        count = min(max_tokens, self.context_length - len(token_ids))
        sequence, read = list(token_ids), 0
        for _ in range(count):
            if self._sequence is not sequence:
                self._begin(len(token_ids) + count)
                self._sequence, read = sequence, 0
            for start in range(read, len(sequence), BATCH):
                self._decode(sequence[start : start + BATCH], start, 1)
            read = len(sequence)
            sequence.append(int(self._outputs(1)[0].argmax()))
            yield sequence[-1]

    def answer(self, token_ids: Sequence[int], max_tokens: int) -> Iterator[int]:
        """Yield greedy tokens up to the one by which the model ends its text or turn, which is left out."""
        return takewhile(lambda token: not self.ends(token), self.greedy(token_ids, max_tokens))

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the file's template, by the bindings' own sandboxed Jinja; None where it has none."""
        template = self.chat_template()
        if template is None:
            return None
        formatter = Jinja2ChatFormatter(
            template=template,
            eos_token=self.token_text(self.eos()),
            bos_token=self.token_text(self.bos()),
            add_generation_prompt=add_generation_prompt,
        )
        return str(formatter(messages=list(messages)).prompt)

    def close(self) -> None:
        """Free the engine's memory."""
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            self._context = None
        if self._model is not None:
            llama_cpp.llama_model_free(self._model)
            self._model = None

    def _make_room(self, tokens: int) -> None:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = tokens
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_outputs_max = self._block
        parameters.n_threads = parameters.n_threads_batch = self._threads
        parameters.no_perf = True
        if self._context is not None:
            llama_cpp.llama_free(self._context)
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not self._context:
            raise MemoryError(f"llama.cpp cannot make a context of {tokens} tokens; its own words are above.")
        self._room = int(llama_cpp.llama_n_ctx(self._context))

    def _check_length(self, tokens: int) -> None:
        if tokens > self.context_length:
            raise ValueError(f"The text has {tokens} tokens, the model takes {self.context_length}; shorten it.")

    def _begin(self, tokens: int) -> None:
        """Have room for a fresh sequence of so many tokens; what was read before is forgotten."""
        self._check_length(tokens)
        self._sequence = ()
        if tokens > self._room:
            self._make_room(min(max(tokens, 2 * self._room), self.context_length))
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def _decode(self, block: Sequence[int], start: int, outputs: int) -> None:
        """Run the model over a block at the positions from `start` on; the last `outputs` tokens give logits."""
        batch = llama_cpp.llama_batch_init(len(block), 0, 1)
        try:
            batch.n_tokens = len(block)
            for index, token in enumerate(block):
                batch.token[index] = token
                batch.pos[index] = start + index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = 0
                batch.logits[index] = index >= len(block) - outputs
            status = llama_cpp.llama_decode(self._context, batch)
        finally:
            llama_cpp.llama_batch_free(batch)
        if status:
            raise RuntimeError(f"llama.cpp could not run the model over {start + len(block)} tokens (status {status})")

    def _outputs(self, count: int) -> NDArray[np.float32]:
        """Return the logits [count, vocabulary] of the last block: the engine's memory, overwritten by the next one."""
        pointer = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, shape=(count, self.vocabulary_size))


def open_engine(folder: Path, threads: int) -> Engine:
    """Load the folder's one GGUF file."""
    found = sorted(folder.glob("*.gguf"))
    if len(found) != 1:
        raise FileNotFoundError(f"there must be one .gguf file in {folder}, and there are {len(found)}")
    return Engine(found[0], threads)
