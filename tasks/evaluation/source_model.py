"""Loads the source model in transformers, in float32 on the processor. Every artifact is compared with it."""

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.checkpoint.ends import end_ids
from tasks.checkpoint.load import load_config, load_model, load_tokenizer
from tasks.checkpoint.model_config import CONFIG, context_length
from tasks.checkpoint.reasons import reason
from tasks.engines.runner import Enough
from tasks.engines.text_model import INCOMPLETE, greedy
from tasks.errors import HallmarkError, Unsupported
from tasks.evaluation.source_lengths import original_length

BATCH_TOKENS = 2048
"""Tokens per forward pass: enough to keep the matrix products busy, little enough for a laptop's memory."""


@dataclass(frozen=True)
class HeadFacts:
    """What happens to hidden @ head.T (+ bias) before it is logits: a factor, then a soft cap."""

    scale: float
    soft_cap: float | None


@dataclass
class _State:
    """A sequence as far as it has been read, and the model's cache of it, if it has any.

    length: how many tokens it is going to have at least.
    """

    length: int
    token_ids: list[int] = field(default_factory=list)
    cache: Any = None


class SourceModel:
    """A loaded causal language model and its tokenizer. It is a `LanguageModel` of tasks.engines.text_model."""

    block_tokens = block_rows = BATCH_TOKENS

    def __init__(self, source: Path, threads: int) -> None:
        """Load both from the source's view (see tasks.checkpoint.view); raises as `tasks.checkpoint.load` does,
        and Unsupported where transformers cannot run the model.

        threads: those of the whole process.
        """
        torch.set_num_threads(threads)
        self._view = source
        # A model that transformers does not know is reported as such, and not as a tokenizer that does not load.
        load_config(source)
        self.tokenizer = load_tokenizer(source)
        self.model = load_model(source, torch.float32)
        self.config = self.model.config.get_text_config()
        self.architecture = type(self.model).__name__
        # Nearly every architecture can leave out the output head for tokens whose logits nobody wants.
        self._keeps_logits = "logits_to_keep" in signature(self.model.forward).parameters
        self._check_runs()

    def _check_runs(self) -> None:
        """Raise Unsupported where transformers cannot run the model: some fields are first used when it runs."""
        state = self.start(2)
        try:
            for _ in range(2):
                self.advance(state, [0], last_only=True)
        except (HallmarkError, MemoryError):
            raise
        except Exception as error:  # a model raises any type
            why = reason(f"{type(error).__name__}: {error}").rstrip(".")
            raise Unsupported(
                f"{CONFIG}: transformers cannot run the model that it describes ({why}); ask the publisher to fix it."
            ) from error

    @property
    def context_length(self) -> int:
        """The most tokens that one sequence may have; sys.maxsize if the configuration names no limit."""
        return context_length(self.config.to_dict()) or sys.maxsize

    @property
    def rows(self) -> int:
        """The number of tokens that the model can read. Its tokenizer may have more, such as one for images."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def hidden_size(self) -> int:
        """The width of the last hidden state."""
        return int(self.config.hidden_size)

    def has_head(self) -> bool:
        """Return whether the model is a decoder with an output head on top, so that its hidden states can be read."""
        return self.model.get_output_embeddings() is not None and self.model.base_model is not self.model

    def head(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the output head: weight float32 [vocabulary, hidden], and bias [vocabulary] or None."""
        layer = self.model.get_output_embeddings()
        bias = getattr(layer, "bias", None)
        return layer.weight.detach(), None if bias is None else bias.detach()

    def head_facts(self) -> HeadFacts:
        """Return the factor and soft cap that the configuration names, under the names different families use."""
        scale = float(getattr(self.config, "logit_scale", None) or 1.0)
        scale /= float(getattr(self.config, "logits_scaling", None) or 1.0)
        return HeadFacts(scale, getattr(self.config, "final_logit_softcapping", None))

    def hidden_states(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Return the output head's input, float32 [sequences, tokens, hidden], for ids [sequences, tokens]."""
        with torch.inference_mode():
            found: torch.Tensor = self.model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
        return found

    def logits(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Return the model's own logits [sequences, tokens, vocabulary]: float32, or the type of `turn_to`."""
        with torch.inference_mode():
            found: torch.Tensor = self.model(input_ids=token_ids, use_cache=False).logits
        return found

    def turn_to(self, dtype: torch.dtype) -> None:
        """Turn the weights to a 16-bit type, in place and one at a time, so that memory only shrinks.

        What transformers keeps in float32 if it loads a model in that type stays float32. So do buffers: they hold
        constants, such as the frequencies of rotary positions, and no weights.
        """
        names = set(self.model._keep_in_fp32_modules_strict or ())
        if dtype == torch.float16:
            names |= set(self.model._keep_in_fp32_modules or ())
        for name, weight in self.model.named_parameters():
            if not any(re.search(kept, name) for kept in names):
                weight.data = weight.data.to(dtype)

    def start(self, length: int) -> "_State":
        """Return the state of a fresh sequence; see tasks.engines.text_model.LanguageModel."""
        return _State(length)

    def advance(self, state: "_State", token_ids: Sequence[int], last_only: bool = False) -> NDArray[np.float32]:
        """Read the next tokens of a sequence and return logits [rows, vocabulary]; see LanguageModel."""
        state.token_ids.extend(token_ids)
        state.length = max(state.length, len(state.token_ids))
        rows = 1 if last_only else len(token_ids)
        original = original_length(self.config)
        if original is not None and state.length > original:
            return self._last_of_long(state.token_ids, rows, original)
        # Recurrent models give no such cache: they are run over the whole sequence again.
        unread = state.token_ids if state.cache is None else token_ids
        kept = {"logits_to_keep": rows} if self._keeps_logits else {}
        with torch.inference_mode():
            ids = torch.tensor([list(unread)])
            answer = self.model(input_ids=ids, past_key_values=state.cache, use_cache=True, **kept)
        state.cache = getattr(answer, "past_key_values", None)
        logits: NDArray[np.float32] = answer.logits[0, -rows:].numpy()
        return logits

    def _last_of_long(self, token_ids: Sequence[int], rows: int, original: int) -> NDArray[np.float32]:
        """Return the last rows of a sequence that is going to be longer than `original` tokens, read as a whole.

        transformers chooses rotary factors by the last position of a call, so blocks would begin with those of short
        sequences. Tokens behind the last make a call long enough; no row before them sees them.
        """
        behind = max(0, original + 1 - len(token_ids))
        kept = {"logits_to_keep": rows + behind} if self._keeps_logits else {}
        with torch.inference_mode():
            ids = torch.tensor([[*token_ids, *[token_ids[-1]] * behind]])
            logits = self.model(input_ids=ids, use_cache=False, **kept).logits[0]
        last: NDArray[np.float32] = logits[len(logits) - behind - rows : len(logits) - behind].numpy()
        return last

    def generate(
        self, prompt_ids: Sequence[int], max_tokens: int, stop_ids: Collection[int], enough: Enough | None = None
    ) -> list[int]:
        """Continue greedily by the plain arg max, whatever sampling or penalties the generation config asks for.

        enough: as for tasks.engines.runner.Runner.generate.
        """
        said = list[int]()
        for token in greedy(self, prompt_ids, max_tokens, stop_ids.__contains__):
            said.append(token)
            if enough is not None and enough(said):
                break
        return said

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def continuation_text(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
        """Return what `token_ids` add to the text of a prompt, special tokens left out.

        Most decoders drop the space before the first word of what they decode, so both are decoded together.
        """
        before = self.decode(prompt_ids).rstrip(INCOMPLETE)
        return self.decode([*prompt_ids, *token_ids])[len(before) :]

    def begins_character(self, token_ids: Sequence[int], place: int) -> bool:
        """Return whether the token at `place` begins a character, so that the text before it is whole."""
        return not self.decode(token_ids[:place]).endswith(INCOMPLETE)

    def stop_ids(self) -> list[int]:
        """Return the tokens that end a text; see `end_ids`."""
        return end_ids(self._view)


def batches(token_ids: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first window, ids [some windows, tokens]) of at most BATCH_TOKENS tokens, one window at least."""
    step = max(1, BATCH_TOKENS // token_ids.shape[1])
    for start in range(0, len(token_ids), step):
        yield start, token_ids[start : start + step]
