"""Serves a causal language model with transformers, in the bf16 that it is stored in.

A copy of this file travels with every safetensors artifact, so it imports nothing of this repository. It follows the
protocol `LoadedModel` of the module that travels beside it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

# Logits of one block: a vocabulary of 150,000 gives 111 tokens a block.
BLOCK_BYTES = 64 * 1024 * 1024
# More rows at once gain no speed on a processor, but cost attention scores of rows x context x heads.
BLOCK_ROWS = 256


class TransformersEngine:
    """One loaded artifact. Not for use by two threads at once.

    A model may have two sets of rotary factors ("longrope"): for sequences up to its original length, and for longer
    ones. transformers chooses the set by the last position of a call, so a long sequence that is read in blocks would
    begin with the short set. Here the set is chosen by the length of the sequence, and a sequence that grows beyond the
    original length is read again.
    """

    name = f"transformers {transformers.__version__} (torch {torch.__version__}, bfloat16)"

    def __init__(self, folder: Path, threads: int) -> None:
        """Load the weights and the tokenizer; `threads` are those of the whole process.

        Raises ValueError where the weights lack a parameter, which transformers would make up at random.
        """
        torch.set_num_threads(threads)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
        self._model, loading = loaded
        wrong = sorted(map(str, (*loading["missing_keys"], *loading["mismatched_keys"])))
        if wrong:
            raise ValueError(f"The weights lack {wrong[0]!r}, or have it in another shape.")
        self._model.eval()
        # Nearly every architecture can leave out the output head for tokens whose logits nobody wants.
        self._keeps_logits = "logits_to_keep" in signature(self._model.forward).parameters
        self._tokenizer: Any = _tokenizer_class(folder).from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        config = self._model.config.get_text_config()
        self.vocabulary_size = int(self._model.get_output_embeddings().weight.shape[0])
        self.context_length = int(getattr(config, "max_position_embeddings", None) or 2**31)
        self._ends = _named_ends(folder) | _flat([self._tokenizer.eos_token_id])
        self._original = _original_length(config)
        self._reads_long = False
        if self._original:
            self._choose_factors_by_length()

    @property
    def block_rows(self) -> int:
        """The most tokens of one call that gives the logits after all of them."""
        return max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * self.vocabulary_size)))

    @property
    def block_tokens(self) -> int:
        """The most tokens of one call that gives the logits after the last."""
        return BLOCK_ROWS if self._keeps_logits else self.block_rows

    def start(self, length: int) -> "_State":
        """Return the state of a fresh sequence of at least `length` tokens."""
        return _State(length)

    def advance(self, state: "_State", token_ids: Sequence[int], last_only: bool = False) -> NDArray[np.float32]:
        """Read the next tokens and return logits [rows, vocabulary]."""
        was_long = self._is_long(state)
        state.length = max(state.length, len(state.token_ids) + len(token_ids))
        if state.token_ids and self._is_long(state) != was_long:
            state.cache = None
            for start in range(0, len(state.token_ids), self.block_tokens):
                self._read_one(state, state.token_ids[start : start + self.block_tokens], last_only=True)
        rows = self._read_one(state, token_ids, last_only)
        if self._original:
            state.token_ids.extend(token_ids)
        return rows

    def _is_long(self, state: "_State") -> bool:
        return 0 < self._original < state.length

    def _read_one(self, state: "_State", token_ids: Sequence[int], last_only: bool) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self.read(state, np.asarray([token_ids], dtype=np.int64), last_only)[0]
        return rows

    def read(self, state: "_State", token_ids: NDArray[np.int64], last_only: bool = False) -> NDArray[np.float32]:
        """Read the next tokens of sequences of equal length and return logits [sequences, rows, vocabulary].

        token_ids: [sequences, tokens]. A state keeps the number of sequences with which it was first read.
        """
        self._reads_long = self._is_long(state)
        kept = {"logits_to_keep": 1} if last_only and self._keeps_logits else {}
        with torch.inference_mode():
            ids = torch.from_numpy(token_ids)
            found = self._model(input_ids=ids, past_key_values=state.cache, use_cache=True, **kept)
            state.cache = found.past_key_values
            logits = found.logits[:, -1:] if last_only else found.logits
            rows: NDArray[np.float32] = logits.float().numpy()
        return rows

    def _choose_factors_by_length(self) -> None:
        """Give the rotary positions of a long sequence one position more, beyond the original length, and drop it."""

        def lengthen(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            if not self._reads_long:
                return None
            if "position_ids" in named:
                return given, {**named, "position_ids": self._and_one_beyond(named["position_ids"])}
            return (given[0], self._and_one_beyond(given[1]), *given[2:]), named

        def cut(module: Any, given: Any, found: tuple[Any, Any]) -> Any:
            return tuple(one[..., :-1, :] for one in found) if self._reads_long else None

        for module in self._model.modules():
            if hasattr(module, "rope_type") and hasattr(module, "original_inv_freq"):
                module.register_forward_pre_hook(lengthen, with_kwargs=True)
                module.register_forward_hook(cut)

    def _and_one_beyond(self, positions: Any) -> Any:
        beyond = torch.full_like(positions[..., :1], self._original)
        return torch.cat([positions, beyond], dim=-1)

    def ends(self, token: int) -> bool:
        """Return whether a configuration of the artifact names this token as an end of a text or a turn."""
        return token in self._ends

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Return the ids of a text, special tokens parsed; `add_special_tokens` adds what the tokenizer adds."""
        return list(self._tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)["input_ids"])

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        ids = list(token_ids)
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def render_chat(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the artifact's template, or None where it has none."""
        if not self._tokenizer.chat_template:
            return None
        given = list(messages)
        return str(
            self._tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=add_generation_prompt)
        )

    def close(self) -> None:
        """Free the memory of the weights."""
        del self._model


def _tokenizer_class(folder: Path) -> Any:
    """Return what loads the tokenizer. For some families, AutoTokenizer takes a class of its own whatever is named."""
    named = _read_json(folder / "tokenizer_config.json").get("tokenizer_class")
    return PreTrainedTokenizerFast if named == PreTrainedTokenizerFast.__name__ else AutoTokenizer


def _original_length(config: Any) -> int:
    """Return the length beyond which a model takes its other set of rotary factors, 0 where it has one set."""
    parameters = getattr(config, "rope_parameters", None) or {}
    if parameters.get("rope_type") != "longrope":
        return 0
    named = "original_max_position_embeddings"
    return int(parameters.get(named) or getattr(config, named, None) or 0)


def _named_ends(folder: Path) -> frozenset[int]:
    """Return the ends that the files name. The library's configuration has defaults for what they leave out."""
    parts = [_read_json(folder / name) for name in ("generation_config.json", "config.json")]
    parts.append(parts[1].get("text_config") or {})
    return _flat([part.get("eos_token_id") for part in parts])


def _flat(named: Sequence[Any]) -> frozenset[int]:
    """Return the ids among ids, lists of ids and None; a negative one stands for no token."""
    flat = (one for some in named for one in (some if isinstance(some, list) else [some]))
    return frozenset(one for one in flat if one is not None and one >= 0)


def _read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object, empty where there is no such file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


@dataclass
class _State:
    """Sequences as far as they have been read: the model's own cache of them.

    length: how many tokens it is going to have at least. token_ids: those read, where they may be read again.
    """

    length: int
    token_ids: list[int] = field(default_factory=list)
    cache: Any = None


def open_engine(folder: Path, threads: int) -> TransformersEngine:
    """Load the artifact in `folder`."""
    return TransformersEngine(folder, threads)
