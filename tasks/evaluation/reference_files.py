"""The files of a reference artifact, readable with numpy and JSON alone: no engine's runtime needs torch for it.

Arrays are NumPy's own `.npy` (no pickles): self-describing, and mapped into memory block by block.

    reference.json    ReferenceInfo
    tokens.npy        int32 [windows, window_tokens]
    hidden.npy        float32 [windows, window_tokens, hidden], the output head's input           (kind "exact")
    head.npy          [vocabulary, hidden], float32 or float16, or bfloat16 as uint16 bits        (kind "exact")
    head-bias.npy     float32 [vocabulary], where the head has one                                (kind "exact")
    top-ids.npy       int32 [windows, window_tokens, kept], most likely first                     (kind "top-k")
    top-logprobs.npy  float32 [windows, window_tokens, kept]                                      (kind "top-k")
    target-nll.npy    float32 [windows, window_tokens - 1]                                        (kind "top-k")
    generations.json  Generations
    parity.json       ParityTexts
    chats.json        Chats, where the source has a chat template
    served.json       ServedCases
    long/             reference.json and arrays of the long window, where there is one; its output head is that above,
                      and its note says why it ends where it does
"""

from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from tasks.evaluation.measurement import Measurement
from tasks.model import Model
from tasks.records import Record

LONG = "long"
"""The folder of the long window."""

Part = TypeVar("Part", bound=Model)


NoiseType = Literal["bfloat16", "float16", "float32"]


class Noise(Model):
    """How far the source is from itself; see tasks/evaluation/source_noise.py.

    type: the type in which its weights are stored, and in which it was run for `metrics`.
    tokens: how many predicted tokens `metrics` rest on.
    metrics: divergence, agreement and difference of log-likelihood of the source in that type, by the names of metrics.
    repeated: the mean divergence of a second run in float32, in nats; about 1e-9, which is rounding.
    """

    type: NoiseType
    tokens: int
    metrics: dict[str, Measurement]
    repeated: Measurement


class ReferenceInfo(Record):
    """What the reference holds.

    kind: "exact" where log-probabilities come back from hidden states and head; "top-k" where they would not, and the
        `kept` most likely tokens of each row are stored with the rest's mass implied.
    head_dtype: the narrowest type that holds the head without loss; bfloat16 is expanded by a shift of 16 bits.
    scale, soft_cap: logits = hidden @ head.T (+ bias), times `scale`, then soft_cap * tanh(logits / soft_cap).
    reproduction_error: the largest difference in nats, on the rows that were checked, between log-probabilities from
        hidden states and head and the model's own; None where there is no such head, or no bound to it.
    perplexity: of some windows, by the task `reference`; an evaluation has that of the windows that it compared. It has
        no observations in the record of the long window, where nothing reads it.
    first_token_ids: what the source's tokenizer puts before a text; every window and prompt begins with it.
    context_length: the most tokens that one sequence of the source may have; None where it names no limit.
    changes_at: the lengths below it at which the source changes its arithmetic, in tokens, ascending.
    noise: how far the source is from itself; None where it was not measured.
    """

    SCHEMA: ClassVar[int] = 4
    """Version 1 has no `context_length`; None is right for it: the limit is not known. Versions 1 and 2 have no
    `changes_at`; the empty list is right for them: no length was looked for. Versions 1 to 3 have no `noise`; None is
    right for them: it was not measured."""

    kind: Literal["exact", "top-k"]
    architecture: str
    windows: int
    window_tokens: int
    vocabulary_size: int
    hidden_size: int
    head_dtype: Literal["float32", "float16", "bfloat16"] | None
    scale: float = 1.0
    soft_cap: float | None = None
    kept: int | None = None
    reproduction_error: float | None
    perplexity: Measurement
    first_token_ids: tuple[int, ...]
    context_length: int | None = None
    changes_at: tuple[int, ...] = ()
    noise: Noise | None = None
    notes: tuple[str, ...] = ()


class Continuation(Model):
    """What the source says greedily after a prompt; `stopped` where it ended by itself before `max_tokens`.

    text: what it adds to the text of the prompt.
    """

    name: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    text: str
    stopped: bool


class Question(Model):
    """A prompt with its right answer, and what the source said within `max_tokens` greedy tokens.

    text: only as much as decides whether it is the answer.
    """

    name: str
    prompt_ids: tuple[int, ...]
    answer: str
    max_tokens: int
    text: str
    correct: bool


class Generations(Record):
    """All greedy generations; `stop_ids` end one, and are not part of it."""

    stop_ids: tuple[int, ...]
    max_tokens: int
    continuations: tuple[Continuation, ...]
    questions: tuple[Question, ...]


class ParityCase(Model):
    """A text and the ids that the source's tokenizer cuts it into: special tokens parsed, none added."""

    name: str
    text: str
    token_ids: tuple[int, ...]


class ParityTexts(Record):
    """All texts on which tokenizers are compared.

    space_mark: whether the source's tokenizer takes the character U+2581 for a space, as those of SentencePiece do.
    """

    SCHEMA: ClassVar[int] = 2

    cases: tuple[ParityCase, ...]
    space_mark: bool

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:  # noqa: ARG003  # there is one
        """Version 1 did not say what U+2581 is, and no text was left out for it."""
        return {**fields, "space_mark": False}


class ChatCase(Model):
    """A chat and its text by the source's own template."""

    name: str
    messages: tuple[dict[str, Any], ...]
    add_generation_prompt: bool
    text: str


class Chats(Record):
    """All chats that the template accepts; `dated` where it writes today's date, which is then not compared."""

    dated: bool
    cases: tuple[ChatCase, ...]


class PromptCase(Model):
    """A prompt, or a chat (`messages`), and the ids that the source reads for it, with its opening tokens."""

    name: str
    prompt: str | None = None
    messages: tuple[dict[str, Any], ...] | None = None
    token_ids: tuple[int, ...]


class ContinuationCase(Model):
    """Tokens that continue a prompt, and what they add to its text; special tokens are left out of it."""

    name: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    text: str


class ServedCases(Record):
    """What is compared of serving: what is read for prompts and chats, and the text of continuations."""

    prompts: tuple[PromptCase, ...]
    continuations: tuple[ContinuationCase, ...]


def read_part(folder: Path, name: str, kind: type[Part]) -> Part:
    """Return one JSON file of a reference; raises Corrupt with the file and the field."""
    return kind.read_file(folder / name, f"{name} of the reference")
