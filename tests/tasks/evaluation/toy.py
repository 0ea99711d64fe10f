"""A toy language model in NumPy, its reference files, and runners with planted faults: for fault injection only."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.engines.batch import GreedyBatch, Steps
from tasks.engines.runner import Enough, Generation, Runner
from tasks.evaluation.answers import is_answer
from tasks.evaluation.long_window import TEXT_ENDS
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import (
    LONG,
    ChatCase,
    Chats,
    Continuation,
    ContinuationCase,
    Generations,
    ParityCase,
    ParityTexts,
    PromptCase,
    Question,
    ReferenceInfo,
    ServedCases,
)
from tests.fixtures.hosts import FakeHost

VOCABULARY, HIDDEN = 48, 16
LETTERS = "abcdefghijklmnopqrstuvwxyz .,!?0123456789-_/\\'()"
WINDOWS, WINDOW_TOKENS = 5, 33
CONTEXT, LONG_TOKENS, LONG_CHANGE = 512, 320, 160

Logprobs = NDArray[np.float32]
Distortion = Callable[[Logprobs], Logprobs]


ANALYSIS: Mapping[str, Any] = {
    "architecture": "Toy", "model_type": "toy", "parameters": 1000, "embedding_parameters": 768, "dtype": "float32",
    "weight_format": "safetensors", "weight_bytes": 4000, "layers": 1, "hidden_size": 16, "heads": 1, "kv_heads": 1,
    "head_dim": 16, "vocabulary_size": 48, "context_length": 512, "tied_embeddings": False, "experts": 0,
    "tokenizer": "bpe", "chat_template": True, "row_lengths": {16: 3}, "needs_code": False,
}  # fmt: skip
"""Facts of the toy, as `analyze` would tell them."""


class ToyModel:
    """One attention head with rotary positions of base `theta`; every value follows from a fixed seed."""

    def __init__(self, theta: float = 10_000.0) -> None:
        random = np.random.default_rng(3)
        self.embedding = random.standard_normal((VOCABULARY, HIDDEN))
        # Few bits, so that bfloat16 holds the head without loss.
        self.head = np.round(random.standard_normal((VOCABULARY, HIDDEN)) * 8) / 32
        self._query, self._key = (random.standard_normal((HIDDEN, HIDDEN)) / HIDDEN**0.5 for _ in range(2))
        self._frequencies = theta ** -(np.arange(0, HIDDEN, 2) / HIDDEN)

    def hidden(self, ids: Sequence[int]) -> Logprobs:
        """Return the head's input [tokens, HIDDEN]."""
        embedded = self.embedding[list(ids)]
        query, key = self._rotate(embedded @ self._query), self._rotate(embedded @ self._key)
        scores = query @ key.T
        scores[np.triu_indices(len(ids), 1)] = -np.inf
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        mixed: Logprobs = (embedded + weights @ embedded).astype(np.float32)
        return mixed

    def logprobs(self, ids: Sequence[int]) -> Logprobs:
        """Return the log-probabilities [tokens, VOCABULARY], normalized in float64."""
        logits = self.hidden(ids).astype(np.float64) @ self.head.T
        logits -= logits.max(axis=1, keepdims=True)
        normal: Logprobs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
        return normal

    def _rotate(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        angles = np.arange(len(vectors))[:, None] * self._frequencies
        even, odd = vectors[:, ::2], vectors[:, 1::2]
        turned = np.empty_like(vectors)
        turned[:, ::2] = even * np.cos(angles) - odd * np.sin(angles)
        turned[:, 1::2] = even * np.sin(angles) + odd * np.cos(angles)
        return turned


class ToyRunner(Runner):
    """The toy model as an artifact. `distort` is applied to its log-probabilities; attributes may be overwritten."""

    def __init__(self, model: ToyModel | None = None, distort: Distortion = lambda rows: rows, block: int = 7) -> None:
        self.engine = "toy 1.0"
        self.vocabulary_size, self.context_length = VOCABULARY, CONTEXT
        self.model, self.distort, self.block = model or ToyModel(), distort, block
        self.letters = LETTERS
        self.end_ids = frozenset((0,))
        self.closed = False
        self._open_batch = None

    def logits(self, token_ids: Sequence[int]) -> Iterator[Logprobs]:
        rows = self.distort(self.model.logprobs(token_ids))
        for start in range(0, len(rows), self.block):
            yield rows[start : start + self.block]

    def generate(
        self,
        token_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        enough: Enough | None = None,
    ) -> Generation:
        said: list[int] = []
        for _ in range(max_tokens):
            rows = self.distort(self.model.logprobs([*token_ids, *said]))
            token = int(rows[-1].argmax())
            if token in stop_ids:
                break
            said.append(token)
            if enough is not None and enough(said):
                break
        return Generation(said, [0.001 * (place + 1) for place in range(len(said))])

    def tokenize(self, text: str) -> list[int]:
        return [self.letters.find(letter) % VOCABULARY for letter in text]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return "".join(self.letters[token % len(self.letters)] for token in token_ids)

    def input_ids(self, row: Mapping[str, Any]) -> list[int]:
        return self.tokenize(row["prompt"] if "prompt" in row else self.render_chat(row["messages"], True) or "")

    def continuation_text(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
        return self.detokenize(token_ids)

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        text = "".join(f"<{message['role']}>{message['content']}" for message in messages)
        return text + ("<assistant>" if add_generation_prompt else "")

    def close(self) -> None:
        self.closed = True


def write_reference(
    folder: Path,
    chats: bool = True,
    questions: bool = True,
    kept: int | None = None,
    long: bool = True,
    windows: int = WINDOWS,
) -> Path:
    """Write the toy model's reference; with `kept`, one of the top-k kind."""
    folder.mkdir(parents=True)
    source = ToyRunner()
    random = np.random.default_rng(11)
    tokens = random.integers(0, VOCABULARY, (windows, WINDOW_TOKENS)).astype(np.int32)
    _write_rows(folder, tokens, kept)
    if kept is None:
        bits = source.model.head.astype(np.float32).view(np.uint32) >> 16
        np.save(folder / "head.npy", bits.astype(np.uint16))
    if long:
        (folder / LONG).mkdir()
        _write_rows(folder / LONG, random.integers(0, VOCABULARY, (1, LONG_TOKENS)).astype(np.int32), kept)
    generations = _generations(source, tokens, questions)
    (folder / "generations.json").write_text(generations.to_json())
    (folder / "served.json").write_text(_served(source, generations).to_json())
    texts = ["", "a cat", "12 + 7", "\x1b[0m odd\n"]
    cases = tuple(ParityCase(name=text, text=text, token_ids=tuple(source.tokenize(text))) for text in texts)
    (folder / "parity.json").write_text(ParityTexts(cases=cases, space_mark=False).to_json())
    if chats:
        (folder / "chats.json").write_text(_chats(source).to_json())
    return folder


def _write_rows(folder: Path, tokens: NDArray[np.int32], kept: int | None) -> None:
    model = ToyModel()
    np.save(folder / "tokens.npy", tokens)
    if kept is None:
        np.save(folder / "hidden.npy", np.stack([model.hidden(window) for window in tokens]))
    else:
        _write_top(folder, model, tokens, kept)
    info = ReferenceInfo(
        kind="exact" if kept is None else "top-k",
        architecture="Toy",
        windows=len(tokens),
        window_tokens=tokens.shape[1],
        vocabulary_size=VOCABULARY,
        hidden_size=HIDDEN,
        head_dtype="bfloat16" if kept is None else None,
        kept=kept,
        reproduction_error=0.0,
        perplexity=Measurement(value=1.0),
        first_token_ids=(),
        context_length=CONTEXT,
        changes_at=(LONG_CHANGE,),
        notes=(TEXT_ENDS,) if folder.name == LONG else (),
    )
    (folder / "reference.json").write_text(info.to_json())


def _write_top(folder: Path, model: ToyModel, tokens: NDArray[np.int32], kept: int) -> None:
    rows = np.stack([model.logprobs(window) for window in tokens])
    order = np.argsort(-rows, axis=-1)[..., :kept].astype(np.int32)
    np.save(folder / "top-ids.npy", order)
    np.save(folder / "top-logprobs.npy", np.take_along_axis(rows, order.astype(np.intp), axis=-1))
    targets = tokens[:, 1:, None].astype(np.intp)
    np.save(folder / "target-nll.npy", -np.take_along_axis(rows[:, :-1], targets, axis=-1)[..., 0])


def _generations(source: ToyRunner, tokens: NDArray[np.int32], questions: bool) -> Generations:
    prompts = [tuple(int(token) for token in window[:8]) for window in tokens]
    said = [source.generate(prompt, 12, (0,)).token_ids for prompt in prompts]
    answers = [source.detokenize(source.generate(prompt, 4, (0,)).token_ids) for prompt in prompts]
    # Every other question has another right answer than the source gives.
    wanted = [answer if place % 2 else "none" for place, answer in enumerate(answers)]
    return Generations(
        stop_ids=(0,),
        max_tokens=12,
        continuations=tuple(
            Continuation(
                name=f"prompt {place}",
                prompt_ids=prompt,
                token_ids=tuple(ids),
                text=source.detokenize(ids),
                stopped=len(ids) < 12,
            )
            for place, (prompt, ids) in enumerate(zip(prompts, said, strict=True))
        ),
        questions=tuple(
            Question(
                name=f"question {place}",
                prompt_ids=prompt,
                answer=right,
                max_tokens=4,
                text=answer,
                correct=is_answer(answer, right),
            )
            for place, (prompt, right, answer) in enumerate(zip(prompts, wanted, answers, strict=True))
        )
        if questions
        else (),
    )


def _chats(source: ToyRunner) -> Chats:
    messages: tuple[dict[str, Any], ...] = ({"role": "user", "content": "where?"},)
    cases = [(prompt, source.render_chat(messages, prompt) or "") for prompt in (True, False)]
    return Chats(
        dated=False,
        cases=tuple(
            ChatCase(name=f"prompted {prompt}", messages=messages, add_generation_prompt=prompt, text=text)
            for prompt, text in cases
        ),
    )


def _served(source: ToyRunner, generations: Generations) -> ServedCases:
    messages: tuple[dict[str, Any], ...] = ({"role": "user", "content": "where?"},)
    return ServedCases(
        prompts=(
            PromptCase(name="a text", prompt="a cat", token_ids=tuple(source.tokenize("a cat"))),
            PromptCase(name="a chat", messages=messages, token_ids=tuple(source.input_ids({"messages": messages}))),
        ),
        continuations=tuple(
            ContinuationCase(name=one.name, prompt_ids=one.prompt_ids, token_ids=one.token_ids, text=one.text)
            for one in generations.continuations
        ),
    )


class Clockwork(ToyRunner):
    """Needs 0.5 s for the prompt, 0.01 s for each token, and 0.05 s for the last, on a host of a test.

    pace: what all times of the n-th call are multiplied by.
    step_seconds: what a token takes for so many sequences together; None if they cannot be decoded together.
    """

    step_seconds: Callable[[int], float] | None = None

    def __init__(self, host: FakeHost | None = None, pace: Callable[[int], float] = lambda call: 1.0) -> None:
        super().__init__()
        self.calls: list[tuple[int, int, int]] = []
        self.host, self.pace = host or FakeHost(), pace
        self.batches: list[ClockworkBatch] = []

    def generate(
        self,
        token_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        enough: Enough | None = None,
    ) -> Generation:
        self.calls.append((len(token_ids), max_tokens, len(stop_ids)))
        steps = np.array([0.5, *[0.01] * (max_tokens - 2), 0.05][:max_tokens]) * self.pace(len(self.calls) - 1)
        self.host.work(float(steps.sum()))
        return Generation([1] * max_tokens, [float(second) for second in np.cumsum(steps)])

    def together(self, prompts: NDArray[np.int64], max_tokens: int) -> GreedyBatch:
        if self.step_seconds is None:
            return super().together(prompts, max_tokens)
        sequences, length = prompts.shape
        step_seconds = self.step_seconds(sequences)
        self.batches.append(ClockworkBatch(self.host, sequences, length, max_tokens, step_seconds))
        return self.batches[-1]


class ClockworkBatch(GreedyBatch):
    """Needs `step_seconds` for each step, and a tenth of it for each token of the prompts."""

    def __init__(self, host: FakeHost, sequences: int, length: int, max_tokens: int, step_seconds: float) -> None:
        self.host, self.sequences, self.left, self.step_seconds = host, sequences, max_tokens, step_seconds
        self.laps: list[int] = []
        self.closed = False
        host.work(length * step_seconds / 10)

    def generate(self, steps: int) -> Steps:
        self.laps.append(steps)
        self.left -= steps
        assert self.left >= 0 and not self.closed
        seconds = [self.step_seconds] * (steps - 1) + [self.step_seconds * 1.1]
        self.host.work(sum(seconds))
        return Steps(np.ones((self.sequences, steps), np.int64), seconds)

    def close(self) -> None:
        self.closed = True
