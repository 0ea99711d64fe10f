"""Serves a GGUF folder through llama.cpp's own Python bindings.

A copy of this file travels with every artifact, so it imports the engine and numpy only. It follows the protocol
`LoadedModel` of the module that travels beside it.
"""

import ctypes
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from numpy.typing import NDArray

BATCH = 512
"""Prompt tokens that the engine takes at a time: llama.cpp's own default."""

LOGIT_BYTES = 64 << 20
"""Memory for the logits of one block of tokens, where those of all tokens are asked for."""

FIRST_CONTEXT = 2048
"""Tokens that the first context has room for. A longer sequence gets a new context."""

END_IDS = "tokenizer.hallmark.end_token_ids"
"""The field that names all tokens that end a text, such as "1,4". llama.cpp also ends at others, by their texts."""

METADATA_BYTES = 4096
"""Room for the text of one field."""

CONTEXT_STEP = 256
"""llama.cpp makes contexts of a multiple of so many tokens."""

ERROR = 4
"""The level of errors in llama.cpp's log (GGML_LOG_LEVEL_ERROR in ggml.h). The bindings' own logger takes 3 for it,
which are warnings, and shows no error."""

LATENT_KEY = b".attention.key_length_mla"
"""The end of the name of a field that files of models with latent attention have."""

HEADER_BYTES = 16 << 20
"""The field stands before the vocabulary, within a few kilobytes. llama.cpp says it only after loading all weights."""

WORDS_KEPT = 20
"""Lines of llama.cpp's errors that are kept for the message of a failure."""

_words: deque[str] = deque(maxlen=WORDS_KEPT)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _keep_errors(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    if level == ERROR:
        line = text.decode("utf-8", "replace")
        print(line, end="", file=sys.stderr, flush=True)
        _words.append(line.strip())


def _load_backends() -> None:
    """Load the code for this processor, where a build of llama.cpp has it in libraries of their own.

    llama.cpp looks for them beside the program, which is Python here.
    """
    folder = Path(llama_cpp.llama_cpp._lib._name).resolve().parent
    if any(folder.glob("libggml-cpu-*.so")):
        ctypes.CDLL(str(folder / "libggml.so")).ggml_backend_load_all_from_path(str(folder).encode())


llama_cpp.llama_log_set(_keep_errors, ctypes.c_void_p(0))
_load_backends()
llama_cpp.llama_backend_init()


def _own_words() -> str:
    """Return the first error that llama.cpp has logged since `_words` was cleared; later ones follow from it."""
    return next((line for line in _words if line), "llama.cpp gave no reason").rstrip(".")


@dataclass
class _Sequence:
    """The tokens that a sequence has so far, and how many it is going to have at least."""

    length: int
    tokens: list[int] = field(default_factory=list)


class LlamaCppEngine:
    """One loaded GGUF file. Not for use by two threads at once.

    It has one context. A sequence is read again when another one has used the context since, and when it needs another
    context. A file may have two sets of rotary factors, for sequences up to its original length and for longer ones.
    llama.cpp chooses the set by the size of the context, so the context is chosen by the length of the sequence: what a
    sequence gives depends on itself alone.
    """

    name = f"llama.cpp {llama_cpp.__version__}"
    block_tokens = BATCH

    def __init__(self, path: Path, threads: int) -> None:
        """Load the file; raises ValueError where llama.cpp cannot, and MemoryError."""
        parameters = llama_cpp.llama_model_default_params()
        _words.clear()
        parameters.use_extra_bufts = not _has_latent_attention(path)
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not model:
            raise ValueError(f"{_own_words()}: llama.cpp cannot load {path.name}.")
        self._model: Any = model
        self._context: Any = None
        self._current: _Sequence | None = None
        self._room = 0
        self._threads = threads
        self._vocabulary: Any = llama_cpp.llama_model_get_vocab(model)
        self.vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self._vocabulary))
        self.context_length = int(llama_cpp.llama_model_n_ctx_train(model))
        ends = self._metadata(END_IDS)
        self._ends = None if ends is None else frozenset(map(int, filter(None, ends.split(","))))
        architecture = self._metadata("general.architecture")
        # Files of yarn name an original length, too, and have one set of factors.
        has_two_sets = self._metadata(f"{architecture}.rope.scaling.type") != "yarn"
        named = self._metadata(f"{architecture}.rope.scaling.original_context_length") if has_two_sets else None
        original = int(named or 0)
        # llama.cpp rounds the size of a context up to a multiple of CONTEXT_STEP, which must not pass the length.
        self._original = original - original % CONTEXT_STEP if 0 < original < self.context_length else 0
        self.block_rows = max(1, min(BATCH, LOGIT_BYTES // (4 * self.vocabulary_size)))
        try:
            self._make_room(min(FIRST_CONTEXT, self._original or self.context_length))
        except MemoryError:
            # The caller has no engine that it could close.
            self.close()
            raise

    @property
    def is_recurrent(self) -> bool:
        """Whether some of the model's layers keep a state in place of keys and values."""
        kinds = (llama_cpp.llama_model_is_recurrent, llama_cpp.llama_model_is_hybrid)
        return any(is_kind(self._model) for is_kind in kinds)

    def start(self, length: int) -> _Sequence:
        """Return the state of a fresh sequence of at least `length` tokens."""
        return _Sequence(length)

    def advance(self, state: _Sequence, token_ids: Sequence[int], last_only: bool = False) -> NDArray[np.float32]:
        """Read the next tokens and return logits [rows, vocabulary]: the engine's memory, valid until the next call."""
        before, place = list[int](), len(state.tokens)
        state.length = max(state.length, place + len(token_ids))
        if self._current is not state or not self._fits(state.length):
            self._begin(state.length)
            before, place = state.tokens, 0
        self._current = None  # If decoding fails half-way, the context fits no sequence.
        if last_only:
            self._read([*before, *token_ids], place, 1)
        else:
            self._read(before, place, 1)
            self._read(token_ids, len(state.tokens), len(token_ids))
        state.tokens.extend(token_ids)
        self._current = state
        return self._outputs(1 if last_only else len(token_ids))

    def ends(self, token: int) -> bool:
        """Return whether the model ends a text or a turn with this token."""
        stated = self._ends is None or token in self._ends
        return stated and bool(llama_cpp.llama_vocab_is_eog(self._vocabulary, token))

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Return the ids of a text, special tokens parsed; `add_special_tokens` adds BOS where the file says so."""
        raw = text.encode()
        ids = (llama_cpp.llama_token * (len(raw) + 2))()
        count = llama_cpp.llama_tokenize(self._vocabulary, raw, len(raw), ids, len(ids), False, True)
        if count < 0:
            raise ValueError(f"llama.cpp cannot tokenize a text of {len(raw)} bytes")
        begins = add_special_tokens and llama_cpp.llama_vocab_get_add_bos(self._vocabulary) and self._bos() >= 0
        return [self._bos(), *ids[:count]] if begins else list(ids[:count])

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        return b"".join(map(self._piece, token_ids)).decode("utf-8", "replace")

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the file's template, in the bindings' own sandboxed Jinja; None where it has none."""
        template = llama_cpp.llama_model_chat_template(self._model, None)
        if template is None:
            return None
        formatter = Jinja2ChatFormatter(
            template=template.decode(),
            eos_token=self._token_text(int(llama_cpp.llama_vocab_eos(self._vocabulary))),
            bos_token=self._token_text(self._bos()),
            add_generation_prompt=add_generation_prompt,
        )
        # As transformers passes them: a template may ask whether there are none.
        return str(formatter(messages=list(messages), documents=None).prompt)

    def close(self) -> None:
        """Free the engine's memory."""
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            self._context = None
        if self._model is not None:
            llama_cpp.llama_model_free(self._model)
            self._model = None

    def _metadata(self, key: str) -> str | None:
        """Return a string or number of the file's metadata as text, None where the file does not have it."""
        buffer = ctypes.create_string_buffer(METADATA_BYTES)
        size = llama_cpp.llama_model_meta_val_str(self._model, key.encode(), buffer, METADATA_BYTES)
        return buffer.value.decode() if size >= 0 else None

    def _piece(self, token: int, special: bool = False) -> bytes:
        """Return a token's bytes, which may be part of a character; empty for a special token unless asked for."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def _token_text(self, token: int) -> str:
        """Return a token's text, special or not; empty for the id -1, which stands for no token."""
        return "" if token < 0 else self._piece(token, special=True).decode("utf-8", "replace")

    def _bos(self) -> int:
        """Return the id of the token that begins a text, -1 where there is none."""
        return int(llama_cpp.llama_vocab_bos(self._vocabulary))

    def new_context(self, tokens: int, rows: int, sequences: int = 1) -> Any:
        """Return a context with room for `tokens`, those of all sequences; the caller frees it.

        rows: the most rows of logits that one call of `decode` gives.

        Raises MemoryError where there is no memory for it.
        """
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = tokens
        parameters.n_seq_max = sequences
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_outputs_max = rows
        parameters.n_threads = parameters.n_threads_batch = self._threads
        parameters.no_perf = True
        _words.clear()
        context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not context:
            raise MemoryError(f"{_own_words()}: llama.cpp cannot make a context of {tokens} tokens.")
        return context

    def _make_room(self, tokens: int) -> None:
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            # If there is no memory for the new context, the next sequence makes another one.
            self._context, self._room = None, 0
        self._context = self.new_context(tokens, self.block_rows)
        self._room = int(llama_cpp.llama_n_ctx(self._context))

    def _fits(self, length: int) -> bool:
        """Return whether the context has room for `length` tokens and uses the rotary factors of that length."""
        return length <= self._room and (length > self._original) == (self._room > self._original)

    def _begin(self, length: int) -> None:
        """Empty the context, and make another one where it does not fit `length` tokens."""
        if not self._fits(length):
            longest = self._original if length <= self._original else self.context_length
            self._make_room(min(max(length, 2 * self._room, FIRST_CONTEXT), longest))
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def _read(self, tokens: Sequence[int], position: int, outputs: int) -> None:
        """Run the model over tokens in batches; the last `outputs` tokens of each batch give logits."""
        for start in range(0, len(tokens), BATCH):
            self._decode(tokens[start : start + BATCH], position + start, outputs)

    def _decode(self, block: Sequence[int], start: int, outputs: int) -> None:
        """Run the model over a batch at the positions from `start` on; the last `outputs` tokens give logits."""
        first = len(block) - outputs
        decode(self._context, [Place(token, start + index, index >= first) for index, token in enumerate(block)])

    def _outputs(self, count: int) -> NDArray[np.float32]:
        """Return the logits [count, vocabulary] of the last batch: the engine's memory, which the next overwrites."""
        pointer = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, shape=(count, self.vocabulary_size))


class Place(NamedTuple):
    """A token with its position in its sequence, and whether the logits after it are wanted."""

    token: int
    position: int
    gives_logits: bool
    sequence: int = 0


def decode(context: Any, places: Sequence[Place]) -> None:
    """Run the model over tokens. The context then has their logits, in this order.

    Raises RuntimeError, with llama.cpp's own words, where it fails.
    """
    batch = llama_cpp.llama_batch_init(len(places), 0, 1)
    try:
        batch.n_tokens = len(places)
        for index, place in enumerate(places):
            batch.token[index] = place.token
            batch.pos[index] = place.position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = place.sequence
            batch.logits[index] = place.gives_logits
        _words.clear()
        status = llama_cpp.llama_decode(context, batch)
    finally:
        llama_cpp.llama_batch_free(batch)
    if status:
        tokens = places[-1].position + 1
        raise RuntimeError(f"{_own_words()}: llama.cpp could not run the model over {tokens} tokens (status {status})")


def _has_latent_attention(path: Path) -> bool:
    """Return whether the file's model stores keys and values as one latent vector, as DeepSeek-V2 does.

    llama.cpp packs weights for processors with AMX, and its code for packed weights takes contiguous inputs only. Those
    of this attention are permuted, so no code is left for them, and llama.cpp ends its process (0.3.36). Such a model
    is run without packed weights on every processor.
    """
    with path.open("rb") as file:
        return LATENT_KEY in file.read(HEADER_BYTES)


def open_engine(folder: Path, threads: int) -> LlamaCppEngine:
    """Load the folder's one GGUF file; raises ValueError where there is none or are several."""
    found = sorted(folder.glob("*.gguf"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(f"A GGUF artifact has one .gguf file at its root, and this one has {names}.")
    return LlamaCppEngine(found[0], threads)
