"""Checks that serving the artifact does what the source does: how a prompt is opened, where a text ends, its text.

Each check asks the code that serves, with the artifact's own files. None takes the source's special tokens for granted.
"""

from collections.abc import Sequence

from tasks.engines.runner import Runner
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import PromptCase, ServedCases

PANIC = "PanicException"
"""What the library tokenizers raises for a post-processor that names a token which is missing, and for a decoder that
strips more than a token has. It is no Exception, and no module can be asked for it."""

SHOWN = 3
"""Mismatches that a note names."""


def end_token_parity(runner: Runner, stop_ids: tuple[int, ...]) -> tuple[Measurement, list[str]]:
    """Return |both| / |either| of the tokens that end a text of the source and of the artifact; notes on the others.

    A source without any such token agrees with an artifact without one.
    """
    source, artifact = frozenset(stop_ids), runner.end_ids
    either = source | artifact
    value = len(source & artifact) / len(either) if either else 1.0
    notes = []
    if missing := sorted(source - artifact):
        notes.append(f"Ends: the source ends a text at the tokens {_listed(missing)}, and the artifact goes on.")
    if added := sorted(artifact - source):
        notes.append(f"Ends: the artifact ends a text at the tokens {_listed(added)}, and the source goes on.")
    return Measurement(value=value, observations=max(1, len(either))), notes


def opening_parity(runner: Runner, served: ServedCases) -> tuple[Measurement, list[str]]:
    """Return the share of prompts and chats that serving reads as the very ids of the source; notes on the first."""
    differing, notes = 0, list[str]()
    for case in served.prompts:
        row = {"prompt": case.prompt} if case.messages is None else {"messages": list(case.messages)}
        try:
            ids, reason = runner.input_ids(row), ""
        # MLflow's own exception, which not every runtime has, ValueError, or the library's panic.
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != PANIC:
                raise
            ids, reason = [], f" ({error})"
        if tuple(ids) != case.token_ids:
            differing += 1
            if len(notes) < SHOWN:
                notes.append(
                    f"Prompt {case.name!r}: it is read as {_beginning(ids)}{reason}, by the source as "
                    f"{_beginning(case.token_ids)}."
                )
    return _share(differing, len(served.prompts)), notes


def server_chat_parity(
    chats: Sequence[PromptCase], read: Sequence[tuple[int, ...] | str]
) -> tuple[Measurement, list[str]]:
    """Return the share of chats that the engine's own server reads as the source's ids; a note on the others.

    read: for each chat the ids that the server reads, or the words with which it refuses it.
    """
    differing = [(case, ids) for case, ids in zip(chats, read, strict=True) if ids != case.token_ids]
    notes = []
    if differing:
        case, ids = differing[0]
        seen = f"is refused ({ids})" if isinstance(ids, str) else f"is read as {_around(ids, case.token_ids)}"
        notes.append(
            f"The engine's own server reads {len(differing)} of {len(chats)} chats otherwise than the source: "
            f"{case.name!r} {seen}; use MLflow for chats."
        )
    return _share(len(differing), len(chats)), notes


def continuation_parity(runner: Runner, served: ServedCases) -> tuple[Measurement, list[str]]:
    """Return the share of continuations that serving turns into the very text of the source; notes on the first."""
    differing, notes = 0, list[str]()
    for case in served.continuations:
        try:
            text = runner.continuation_text(case.prompt_ids, case.token_ids)
            seen = "" if text == case.text else _differing(text, case.text)
        except BaseException as error:
            if type(error).__name__ != PANIC:
                raise
            seen = f"it cannot be decoded ({error})"
        if seen:
            differing += 1
            if len(notes) < SHOWN:
                notes.append(f"Continuation {case.name!r}: {seen}.")
    return _share(differing, len(served.continuations)), notes


def _share(differing: int, count: int) -> Measurement:
    return Measurement(value=(count - differing) / count, observations=count)


def _listed(ids: list[int]) -> str:
    shown = ", ".join(map(str, ids[:10]))
    return f"{shown} and {len(ids) - 10} more" if len(ids) > 10 else shown


def _around(ids: Sequence[int], source: Sequence[int]) -> str:
    """Return the first ids that differ, beside the source's."""
    pairs = enumerate(zip(ids, source, strict=False))
    place = next((place for place, (one, other) in pairs if one != other), min(len(ids), len(source)))
    here, there = _beginning(tuple(ids[place:])), _beginning(tuple(source[place:]))
    return f"{here} from token {place} on, and by the source as {there}"


def _beginning(ids: tuple[int, ...] | list[int]) -> str:
    return f"{list(ids[:6])}{'...' if len(ids) > 6 else ''}"


def _differing(text: str, source: str) -> str:
    pairs = enumerate(zip(text, source, strict=False))
    place = next((place for place, (one, other) in pairs if one != other), min(len(text), len(source)))
    here, there = text[place : place + 20], source[place : place + 20]
    return f"from character {place} on the served text is {here!a}, the source's {there!a}"
