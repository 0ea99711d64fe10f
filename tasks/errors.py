"""All errors that a task may raise. The type of an error says whether a retry can help.

A message is one sentence that a person can act on: it names the mistake, with the file, tensor or field, and the fix.
Example: `config.json is missing or is not JSON (...); fix it in the source repository.`
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

Cause = Literal["error", "bug", "killed", "out-of-memory", "memory-exceeded", "disk-full"]
"""The cause of a failure, by which code decides how to go on. `error` stands for all causes that code need not know."""

LONGEST_MESSAGE = 1500
"""Characters. This is enough for the last lines of a tool, but not for a malicious field of a megabyte."""

MAKE_AGAIN = (
    "run the release again with 'force'; if the new file has the same fault, leave its target out of the recipe"
)
"""What helps against a faulty artifact, for the end of a message. A cleared task finds the same file in the store."""

FETCH_AGAIN = "run the release again with 'force' to fetch the snapshot again"
"""The same for the files of a source."""


def plain(text: str) -> str:
    """Return a text that is safe to print: control characters except line ends are escaped, and long texts are cut.

    Messages quote files of models, which may contain escape sequences for terminals.
    """
    shown = "".join(mark if mark.isprintable() or mark == "\n" else repr(mark)[1:-1] for mark in text)
    return shown if len(shown) <= LONGEST_MESSAGE else f"{shown[:1000]} ... {shown[-400:]}"


def listed(sentences: Sequence[str]) -> str:
    """Return sentences as one line, joined by semicolons. If they exceed a message, each of the longer ones is cut.

    A message that is too long loses its middle. Of a list, that would be the end of one sentence and the beginning of
    another.
    """
    room = LONGEST_MESSAGE - len("; ") * len(sentences)
    shown: dict[int, str] = {}
    for place in sorted(range(len(sentences)), key=lambda place: len(sentences[place])):
        share = room // (len(sentences) - len(shown))
        sentence = sentences[place]
        shown[place] = sentence if len(sentence) <= share else f"{sentence[: max(share, 40) - 4]} ..."
        room -= len(shown[place])
    return "; ".join(shown[place] for place in range(len(sentences)))


class HallmarkError(Exception):
    """Base of all errors that the user sees as one sentence, without a traceback."""

    cause: ClassVar[Cause] = "error"

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


class TransientError(HallmarkError):
    """Base of errors that may disappear without any change. Airflow retries the task."""


class HubUnavailable(TransientError):
    """Raised when the Hub did not answer, answered 429 or 5xx, or cut a transfer short."""


class StoreUnavailable(TransientError):
    """Raised when the object store did not answer or aborted a transfer."""


class RegistryUnavailable(TransientError):
    """Raised when the MLflow server did not answer."""


class ToolKilled(TransientError):
    """Raised when a signal from outside ended a tool or the process of a task."""

    cause = "killed"


class OutOfMemory(TransientError):
    """Raised when a host ran out of memory although the task alone would have fitted; other processes used the rest."""

    cause = "out-of-memory"


class TerminalError(HallmarkError):
    """Base of errors that need a change of input, recipe or configuration. Airflow does not retry the task."""


class NotFound(TerminalError):
    """Raised when a repository, revision, manifest or other named object does not exist."""


class AccessDenied(TerminalError):
    """Raised when a repository is private or gated, or credentials are refused."""


class CredentialsExpired(AccessDenied):
    """Raised when credentials that worked at first are refused, because they expired or were withdrawn."""


class RateLimited(TerminalError):
    """Raised when the Hub asks for a longer wait than a task may wait. Terminal: a retry would come too early."""


class Refused(TerminalError):
    """Raised when a policy of the recipe forbids a model: its licence, pickled weights, or custom code."""


class Corrupt(TerminalError):
    """Raised when the content of a file contradicts its digest, header, index or configuration."""


class TooNew(TerminalError):
    """Raised when a record was written by a newer version of this code; the record is fine, the checkout is too old."""


class Unsupported(TerminalError):
    """Raised when no converter, engine or tokenizer mapping supports the model or the target."""


class InvalidRecipe(TerminalError):
    """Raised when a recipe, a target, the settings or the parameters of a run are invalid or contradict each other."""


class InvalidDeclaration(TerminalError):
    """Raised when a runtime's declaration in `deploy/runtimes` is missing or invalid."""


class ToolFailed(TerminalError):
    """Raised when a tool exited with an error or crashed. The message contains its last lines of output."""


class MemoryExceeded(TerminalError):
    """Raised when a task alone needs more memory than the host has. A retry would fail again."""

    cause = "memory-exceeded"


class DiskFull(TerminalError):
    """Raised when a disk is full. It is terminal, because a retry before space is freed would waste hours of work."""

    cause = "disk-full"


class Unmeasured(TerminalError):
    """Raised when a number that a gate checks could not be measured."""


class ReleaseFailed(TerminalError):
    """Raised when the run did not end as the recipe demands."""
