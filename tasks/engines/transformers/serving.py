"""Serves a causal language model with transformers, in the bf16 it is stored in: log-probabilities, greedy text, chat.

This one file is also copied into every safetensors artifact, where MLflow loads it; so it imports nothing of this
repository.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer

# Logits of one block: a vocabulary of 150,000 gives 111 tokens a block.
BLOCK_BYTES = 64 * 1024 * 1024
# More rows at once gain no speed on a processor, but cost attention scores of rows x context x heads.
BLOCK_ROWS = 256


class TransformersEngine:
    """One loaded artifact. Not for use by two threads at once."""

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
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self._first_ids = _before(self.tokenize("a"), self._tokenizer("a", verbose=False)["input_ids"])
        config = self._model.config.get_text_config()
        self.vocabulary_size = int(self._model.get_output_embeddings().weight.shape[0])
        self.context_length = int(getattr(config, "max_position_embeddings", None) or 2**31)
        named = [self._model.generation_config.eos_token_id, config.eos_token_id, self._tokenizer.eos_token_id]
        flat = [one for some in named for one in (some if isinstance(some, list) else [some])]
        self.eos_ids = sorted({int(one) for one in flat if one is not None})

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield logits [block, vocabulary]; row i is of the token after token_ids[: i + 1]."""
        for logits in self._blocks(token_ids, _State()):
            yield logits.numpy()

    def stream(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()) -> Iterator[int]:
        """Yield greedy tokens as they come, until a stop id (not yielded), `max_tokens`, or the context is full."""
        if not token_ids:
            raise ValueError("The prompt has no tokens; give it at least one character.")
        if len(token_ids) > self.context_length:
            raise ValueError(
                f"The text has {len(token_ids)} tokens, the model takes {self.context_length}; shorten it."
            )
        state = _State()
        for _ in range(min(max_tokens, self.context_length - len(token_ids))):
            *_, logits = self._blocks(token_ids, state)
            token = int(logits[-1].argmax())
            if token in stop_ids:
                return
            yield token
            token_ids = [token]

    def generate(
        self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()
    ) -> tuple[list[int], list[float]]:
        """Return greedy tokens and the seconds from the call until each was there."""
        start = time.perf_counter()
        tokens, seconds = [], []
        for token in self.stream(token_ids, max_tokens, stop_ids):
            tokens.append(token)
            seconds.append(time.perf_counter() - start)
        return tokens, seconds

    def answer(self, token_ids: Sequence[int], max_tokens: int) -> Iterator[int]:
        """Yield greedy tokens up to the one by which the model ends its text or turn, which is left out."""
        return self.stream(token_ids, max_tokens, self.eos_ids)

    def prompt_ids(self, prompt: str) -> list[int]:
        """Return the ids of a prompt, opened as the model's texts are: by its BOS, where it has one, and only once."""
        ids = self.tokenize(prompt)
        return ids if ids[: len(self._first_ids)] == self._first_ids else [*self._first_ids, *ids]

    def tokenize(self, text: str) -> list[int]:
        """Return ids: special tokens parsed, none added."""
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
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

    def _blocks(self, token_ids: Sequence[int], state: "_State") -> Iterator[torch.Tensor]:
        """Yield fp32 logits [block, vocabulary] of the next tokens, the cache carried over."""
        rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * self.vocabulary_size)))
        for start in range(0, len(token_ids), rows):
            with torch.inference_mode():
                block = torch.tensor([list(token_ids[start : start + rows])], dtype=torch.int64)
                found = self._model(input_ids=block, past_key_values=state.cache, use_cache=True)
                state.cache = found.past_key_values
                logits = found.logits[0].float()
            yield logits


@dataclass
class _State:
    """A sequence as far as it has been read: the model's own cache of it."""

    cache: Any = None


def _before(bare: Sequence[int], full: Sequence[int]) -> list[int]:
    """Return what stands in `full`, the ids of a text with special tokens, before `bare`, those of the text alone."""
    starts = (start for start in range(len(full)) if list(full[start : start + len(bare)]) == list(bare))
    return list(full[: next(starts, 0)])


def open_engine(folder: Path, threads: int) -> TransformersEngine:
    """Load the artifact in `folder`."""
    return TransformersEngine(folder, threads)
