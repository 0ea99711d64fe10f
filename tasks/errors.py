"""Every error a task may raise; its type says whether a retry can help.

A message is one sentence a person can act on: what was wrong, with the file, tensor or field, and what mends it.
"""

from typing import ClassVar, Literal

Cause = Literal["error", "bug", "killed", "out-of-memory", "memory-exceeded", "disk-full"]
"""What code decides by when a task failed; `error` stands for all causes that only a person can tell apart."""

LONGEST_MESSAGE = 1500
"""Characters: room for a tool's last lines, and no more of a field that somebody made a megabyte long."""


def plain(text: str) -> str:
    """Return a text fit for a terminal, a log and a page: no control characters but line ends, and not too long.

    What a model's files say gets into messages; escape sequences and lone surrogates would get on into consoles.
    """
    shown = "".join(mark if mark.isprintable() or mark == "\n" else repr(mark)[1:-1] for mark in text)
    return shown if len(shown) <= LONGEST_MESSAGE else f"{shown[:1000]} ... {shown[-400:]}"


class HallmarkError(Exception):
    """Base of all errors that the user sees as one sentence, without a traceback."""

    cause: ClassVar[Cause] = "error"

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


class TransientError(HallmarkError):
    """Raised when the same task may succeed later without anybody changing anything; Airflow retries it."""


class HubUnavailable(TransientError):
    """Raised when the Hub did not answer, answered 429 or 5xx, or cut a transfer short."""


class StoreUnavailable(TransientError):
    """Raised when the object store did not answer or refused a transfer half-way."""


class RegistryUnavailable(TransientError):
    """Raised when the MLflow server did not answer."""


class ToolKilled(TransientError):
    """Raised when somebody ended a foreign tool or a task's process by a signal."""

    cause = "killed"


class OutOfMemory(TransientError):
    """Raised when memory ran out under a task that by itself would have fitted: others may have taken it."""

    cause = "out-of-memory"


class TerminalError(HallmarkError):
    """Raised when only a change of input, recipe or configuration can help; Airflow does not retry it."""


class NotFound(TerminalError):
    """Raised when a repository, revision, manifest or object that was named does not exist."""


class AccessDenied(TerminalError):
    """Raised when a repository is private or gated, or credentials are refused."""


class RateLimited(TerminalError):
    """Raised when the Hub asks for a longer wait than a task waits: a retry at once would be against its wish."""


class Refused(TerminalError):
    """Raised when a policy of the recipe forbids it: licence, pickled weights, custom code."""


class Corrupt(TerminalError):
    """Raised when bytes disagree with their digest, header, index or configuration."""


class TooNew(TerminalError):
    """Raised when a record was written by a newer version of this code; the record is fine, the checkout is too old."""


class Unsupported(TerminalError):
    """Raised when no converter, engine or tokenizer mapping exists for what was asked."""


class InvalidRecipe(TerminalError):
    """Raised when a recipe, a target or a trigger's parameters break their schema or contradict each other."""


class InvalidDeclaration(TerminalError):
    """Raised when a runtime's declaration in `deploy/runtimes` is missing, or breaks its schema."""


class ToolFailed(TerminalError):
    """Raised when a foreign tool exited non-zero or crashed; the message carries its last lines."""


class MemoryExceeded(TerminalError):
    """Raised when a task by itself takes more memory than the host has; it would do so again."""

    cause = "memory-exceeded"


class DiskFull(TerminalError):
    """Raised when a disk is full: somebody must free space, and a retry at once would do hours of work in vain."""

    cause = "disk-full"


class Unmeasured(TerminalError):
    """Raised when a number that a gate needs could not be measured."""


class ReleaseFailed(TerminalError):
    """Raised when the run did not end as the recipe says it must."""
