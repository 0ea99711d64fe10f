from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tasks.evaluation.reference_files import PromptCase, ServedCases, read_part
from tasks.evaluation.served_parity import continuation_parity, end_token_parity, opening_parity, server_chat_parity
from tests.tasks.evaluation.toy import ToyRunner, write_reference


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedCases:
    return read_part(write_reference(tmp_path_factory.mktemp("toy") / "reference"), "served.json", ServedCases)


@pytest.mark.parametrize(
    ("source", "artifact", "value", "notes"),
    [
        ((0, 4), (0, 4), 1.0, []),
        ((), (), 1.0, []),
        ((0, 4), (0,), 0.5, ["Ends: the source ends a text at the tokens 4, and the artifact goes on."]),
        ((0,), (0, 7, 9), 1 / 3, ["Ends: the artifact ends a text at the tokens 7, 9, and the source goes on."]),
        ((), (7,), 0.0, ["Ends: the artifact ends a text at the tokens 7, and the source goes on."]),
    ],
)
def test_every_end_of_one_alone_lowers_the_share(
    source: tuple[int, ...], artifact: tuple[int, ...], value: float, notes: list[str]
) -> None:
    runner = ToyRunner()
    runner.end_ids = frozenset(artifact)
    measured, told = end_token_parity(runner, source)
    assert measured.value == pytest.approx(value)
    assert told == notes


def test_many_ends_are_counted_in_the_note() -> None:
    runner = ToyRunner()
    runner.end_ids = frozenset(range(30))
    assert end_token_parity(runner, ())[1][0].split("tokens ")[1].startswith("0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more")


def test_the_source_serves_as_itself(served: ServedCases) -> None:
    assert opening_parity(ToyRunner(), served)[0].value == 1
    assert continuation_parity(ToyRunner(), served)[0].value == 1


def test_an_opening_token_too_many_is_seen(served: ServedCases) -> None:
    class Opening(ToyRunner):
        def input_ids(self, row: Mapping[str, Any]) -> list[int]:
            return [5, *super().input_ids(row)] if "prompt" in row else super().input_ids(row)

    measured, notes = opening_parity(Opening(), served)
    assert measured.value == 0.5
    assert notes == ["Prompt 'a text': it is read as [5, 0, 26, 2, 0, 19], by the source as [0, 26, 2, 0, 19]."]


def test_a_chat_that_serving_refuses_is_a_difference(served: ServedCases) -> None:
    class Refusing(ToyRunner):
        def input_ids(self, row: Mapping[str, Any]) -> list[int]:
            if "messages" in row:
                raise ValueError("The model has no chat template")
            return super().input_ids(row)

    measured, notes = opening_parity(Refusing(), served)
    assert measured.value == 0.5
    assert "Prompt 'a chat': it is read as [] (The model has no chat template)" in notes[0]


class PanicException(BaseException):
    """As the library tokenizers has one."""


@pytest.mark.parametrize(("raised", "seen"), [(PanicException, True), (KeyboardInterrupt, False)])
def test_a_panic_of_the_tokenizer_is_a_difference(served: ServedCases, raised: type[BaseException], seen: bool) -> None:
    class Panicking(ToyRunner):
        def input_ids(self, row: Mapping[str, Any]) -> list[int]:
            raise raised("no entry found for key")

    if not seen:
        with pytest.raises(raised):
            opening_parity(Panicking(), served)
        return
    measured, notes = opening_parity(Panicking(), served)
    assert measured.value == 0 and "(no entry found for key)" in notes[0]


@pytest.mark.parametrize(("raised", "seen"), [(PanicException, True), (KeyboardInterrupt, False), (ValueError, False)])
def test_a_panic_of_the_decoder_is_a_difference(served: ServedCases, raised: type[BaseException], seen: bool) -> None:
    class Panicking(ToyRunner):
        def continuation_text(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
            raise raised("slice index starts at 1 but ends at 0")

    if not seen:
        with pytest.raises(raised):
            continuation_parity(Panicking(), served)
        return
    measured, notes = continuation_parity(Panicking(), served)
    assert measured.value == 0
    assert notes[0] == "Continuation 'prompt 0': it cannot be decoded (slice index starts at 1 but ends at 0)."


def test_a_lost_space_is_seen(served: ServedCases) -> None:
    class Stripping(ToyRunner):
        def continuation_text(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
            return super().continuation_text(prompt_ids, token_ids)[1:]

    measured, notes = continuation_parity(Stripping(), served)
    assert measured.value == 0
    assert len(notes) == 3
    assert notes[0].startswith("Continuation 'prompt 0': from character 0 on the served text is ")


def chat(name: str, *ids: int) -> PromptCase:
    return PromptCase(name=name, messages=({"role": "user", "content": name},), token_ids=ids)


def test_a_server_that_reads_every_chat_as_the_source_loses_nothing() -> None:
    measured, notes = server_chat_parity([chat("a", 1, 2), chat("b", 3)], [(1, 2), (3,)])
    assert (measured.value, measured.observations, notes) == (1.0, 2, [])


@pytest.mark.parametrize(
    ("read", "told"),
    [
        ((1, 9, 8), "'b' is read as [9, 8] from token 1 on, and by the source as [2, 3, 4, 5, 6, 7]"),
        ((1, 2), "'b' is read as [] from token 2 on, and by the source as [3, 4, 5, 6, 7]"),
        ((1, 2, 3, 4, 5, 6, 7, 8), "'b' is read as [8] from token 7 on, and by the source as []"),
        ("no tools", "'b' is refused (no tools)"),
    ],
)
def test_the_first_chat_that_a_server_reads_otherwise_is_shown(read: Any, told: str) -> None:
    chats = [chat("a", 1), chat("b", 1, 2, 3, 4, 5, 6, 7), chat("c", 2), chat("d", 5)]
    measured, notes = server_chat_parity(chats, [(1,), read, (9,), (5,)])
    assert measured.value == 0.5
    said = f"The engine's own server reads 2 of 4 chats otherwise than the source: {told}; use MLflow for chats."
    assert notes == [said]


def test_a_server_answers_for_every_chat() -> None:
    with pytest.raises(ValueError, match="shorter"):
        server_chat_parity([chat("a", 1), chat("b", 2)], [(1,)])
