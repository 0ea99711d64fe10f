"""The greedy loop and the text that is served with it; on a model of bytes."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from time import sleep
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError
from numpy.typing import NDArray

from tasks.engines import text_model
from tasks.engines.text_model import (
    INCOMPLETE,
    LoadedModel,
    TextModel,
    before_stop,
    continuation_pieces,
    first_ids,
    greedy,
    logits,
    refusal,
)
from tests.tasks.engines.frames import Frame

TEXT = "Эта свеча красная. 你好 🙂 and no more"
END, BOS = 256, 257


class Sequenced:
    """The state of a sequence: what was read, and how the calls cut it."""

    def __init__(self, length: int) -> None:
        self.length, self.ids, self.calls = length, list[int](), list[int]()


class Bytes:
    """Says a text byte by byte, ends, and knows whether two threads are in it at once."""

    name = "bytes 1"
    vocabulary_size = 258
    context_length, block_tokens, block_rows = 10_000, 64, 32

    def __init__(self, text: str, bos: Sequence[int] = ()) -> None:
        self.said: list[int] = [*text.encode(), END]
        self.bos = bos
        self.chat: str | Exception | None = None
        self.sequences: list[Sequenced] = []
        self.inside = False

    def start(self, length: int) -> Sequenced:
        self.sequences.append(Sequenced(length))
        return self.sequences[-1]

    def advance(self, state: Sequenced, token_ids: Sequence[int], last_only: bool = False) -> NDArray[np.float32]:
        assert not self.inside
        self.inside = True
        assert 0 < len(token_ids) <= (self.block_tokens if last_only else self.block_rows)
        state.ids += token_ids
        state.calls.append(len(token_ids))
        rows = np.zeros((1 if last_only else len(token_ids), self.vocabulary_size), np.float32)
        rows[-1, self.next_token(state)] = 1
        sleep(0)
        self.inside = False
        return rows

    def next_token(self, state: Sequenced) -> int:
        # Prompts of the tests that say a text are read in one call.
        return int(self.said[len(state.calls) - 1])

    def ends(self, token: int) -> bool:
        return token == END

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[int]:
        ids = list(text.encode())
        return [*self.bos, *ids, END] if add_special_tokens else ids

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return bytes(token for token in token_ids if token < END).decode(errors="replace")

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        assert add_generation_prompt
        if isinstance(self.chat, Exception):
            raise self.chat
        return self.chat and self.chat.format(messages[-1]["content"])

    def close(self) -> None:
        """Nothing to free."""


class Table(Bytes):
    """After a token t, the rows of `table` say what is likely."""

    context_length, block_tokens, block_rows = 12, 4, 3

    def __init__(self, table: NDArray[np.float32]) -> None:
        super().__init__("")
        self.table, self.vocabulary_size = table, len(table)

    def advance(self, state: Sequenced, token_ids: Sequence[int], last_only: bool = False) -> NDArray[np.float32]:
        super().advance(state, token_ids, last_only)
        return self.table[list(token_ids[-1:] if last_only else token_ids)]

    def next_token(self, state: Sequenced) -> int:
        return 0


@pytest.fixture
def table() -> Table:
    """After t comes (t + 1) % 5, and a higher id that is just as likely."""
    rows = np.zeros((8, 8), np.float32)
    for token in range(8):
        rows[token, [(token + 1) % 5, 6 + token % 2]] = 1
    return Table(rows)


def never(token: int) -> bool:
    return False


def test_the_most_likely_token_is_taken_and_of_equal_ones_the_lowest(table: Table) -> None:
    assert list(greedy(table, [0, 3], 6, never)) == [4, 0, 1, 2, 3, 4]


def test_it_ends_at_an_end_which_is_left_out(table: Table) -> None:
    assert list(greedy(table, [0], 6, {3}.__contains__)) == [1, 2]
    assert list(greedy(table, [0], 6, lambda token: token == 1)) == []


def test_it_ends_where_the_context_is_full(table: Table) -> None:
    assert len(list(greedy(table, [0] * 9, 50, never))) == 3
    assert list(greedy(table, [0] * 12, 50, never)) == []
    with pytest.raises(ValueError, match=r"The text has 13 tokens, the model takes 12; shorten it\."):
        next(greedy(table, [0] * 13, 1, never))
    with pytest.raises(ValueError, match="no tokens; give it at least one character"):
        next(greedy(table, [], 1, never))


def test_a_prompt_is_read_in_blocks_and_each_token_once(table: Table) -> None:
    list(greedy(table, [0] * 9, 2, never))
    (sequence,) = table.sequences
    assert sequence.calls == [4, 4, 1, 1]
    # Only the prompt is sure to be read.
    assert sequence.length == 9
    assert list(greedy(table, [0], 0, never)) == []
    assert table.sequences[-1].calls == []


def test_logits_come_in_blocks_of_one_sequence(table: Table) -> None:
    ids = [3, 1, 4, 1, 0, 2, 2]
    blocks = list(logits(table, ids))
    assert [len(block) for block in blocks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), table.table[ids])
    assert len(table.sequences) == 1
    assert list(logits(table, [])) == []
    with pytest.raises(ValueError, match="The text has 13 tokens, the model takes 12"):
        next(logits(table, [0] * 13))


def test_two_sequences_take_turns(table: Table) -> None:
    one, other = greedy(table, [0], 4, never), greedy(table, [3], 4, never)
    assert [(next(one), next(other)) for _ in range(4)] == [(1, 4), (2, 0), (3, 1), (4, 2)]


@pytest.mark.parametrize(
    ("bare", "whole", "first"),
    [([7], [7], []), ([7], [1, 7], [1]), ([7, 8], [1, 2, 7, 8, 3], [1, 2]), ([7], [1, 9], []), ([], [1], [])],
)
def test_what_stands_before_a_text_is_found(bare: list[int], whole: list[int], first: list[int]) -> None:
    class Cut(Bytes):
        def tokenize(self, text: str, add_special_tokens: bool = False) -> list[int]:
            return whole if add_special_tokens else bare

    model: LoadedModel = Cut("")
    assert first_ids(model) == first


@given(
    st.text(st.characters(codec="utf-8"), max_size=30), st.integers(0, 60), st.lists(st.text(max_size=4), max_size=3)
)
def test_the_pieces_are_the_text(text: str, max_tokens: int, stop: list[str]) -> None:
    model = TextModel(Bytes(text))
    parameters = {"max_tokens": max_tokens, "stop": stop}
    pieces = list(model.predict_stream({"prompt": "x"}, parameters))
    assert "" not in pieces
    whole = text.encode()[:max_tokens].decode(errors="replace")
    ends = [whole.index(end) for end in stop if end and end in whole]
    said = "".join(pieces)
    # Of stop strings that overlap, the one that is whole first counts.
    assert whole.startswith(said) and len(said) in (ends or [len(whole)])
    assert not any(end and end in said for end in stop)
    assert model.predict(Frame({"prompt": ["x"]}), parameters)["text"] == [said]


def test_no_piece_ends_within_a_character() -> None:
    pieces = list(TextModel(Bytes(TEXT)).predict_stream({"prompt": "x"}))
    assert "".join(pieces) == TEXT
    assert all(INCOMPLETE not in piece for piece in pieces)
    assert len(pieces) > 20
    cut = list(TextModel(Bytes(TEXT)).predict_stream({"prompt": "x"}, {"max_tokens": 3}))
    assert cut == ["Э", INCOMPLETE]


def strip_first_space(token_ids: Sequence[int]) -> str:
    """Decode as Llama 2's tokenizer: END and BOS leave nothing, and the space before the first word is dropped."""
    return bytes(token for token in token_ids if token < END).decode(errors="replace").removeprefix(" ")


@pytest.mark.parametrize(
    ("prompt", "answer", "pieces"),
    [
        (b"Once upon a", b" time", [" ", "t", "i", "m", "e"]),
        ([BOS, *b"x"], b" a b", [" ", "a", " ", "b"]),
        ([BOS], b" ab", ["a", "b"]),
        (b"x", [END, *b" y", END], [" ", "y"]),
        ("é".encode()[:1], "é".encode()[1:], ["é"]),
        ("🙂".encode() * 40, "🙂 ok".encode(), ["🙂", " ", "o", "k"]),
        (b"a" + "🙂".encode() * 40, "🙂".encode(), ["🙂"]),
        (b"", "é".encode()[:1], [INCOMPLETE]),
        (b"x", b"", []),
    ],
)
def test_a_continuation_is_decoded_behind_its_prompt(
    prompt: Sequence[int], answer: Sequence[int], pieces: list[str]
) -> None:
    assert [piece for piece in continuation_pieces(strip_first_space, prompt, answer) if piece] == pieces


@pytest.mark.parametrize("after", [b"", b"a", b"ab", b"abc"])
def test_the_end_of_a_long_prompt_begins_with_a_character(after: bytes) -> None:
    def decode(token_ids: Sequence[int]) -> str:
        """Decode as tokenizers' ByteFallback: of bytes that are no text, none is."""
        try:
            return bytes(token_ids).decode()
        except UnicodeDecodeError:
            return INCOMPLETE * len(token_ids)

    pieces = continuation_pieces(decode, "🙂".encode() * 40 + after, "🙂".encode())
    assert "".join(pieces) == "🙂"


def test_only_the_end_of_a_long_prompt_is_decoded() -> None:
    longest = 0

    def decode(token_ids: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(token_ids))
        return strip_first_space(token_ids)

    assert "".join(continuation_pieces(decode, b"x" * 5000, b" y" * 300)) == " y" * 300
    assert longest < 100


def test_a_served_answer_keeps_its_first_space() -> None:
    class Stripping(Bytes):
        def detokenize(self, token_ids: Sequence[int]) -> str:
            return strip_first_space(token_ids)

    assert TextModel(Stripping(" time and")).complete("Once upon a") == " time and"
    assert next(iter(TextModel(Stripping(" time")).predict_stream({"prompt": "Once upon a"}))) == " "


def test_one_stop_string_is_not_taken_for_its_letters() -> None:
    assert TextModel(Bytes("a # b ### c")).complete("x", stop="###") == "a # b "
    assert TextModel(Bytes("a # b ### c")).complete("x", stop=["###"]) == "a # b "


def test_what_may_be_a_part_of_a_stop_string_waits() -> None:
    assert list(before_stop(["ab", "c<", "/", "s>", "d"], ["</s>"])) == ["ab", "c"]
    assert list(before_stop(["ab", "c<", "/", "t>", "<"], ["</s>"])) == ["ab", "c", "</t>", "<"]
    assert list(before_stop(["aab"], ["ab", "aab"])) == []


def test_a_piece_comes_before_the_next_token_is_asked_for() -> None:
    told: list[str] = []

    class Watched(Bytes):
        def next_token(self, state: Sequenced) -> int:
            assert len(told) == len(state.calls) - 1
            return super().next_token(state)

    for piece in TextModel(Watched("abc")).predict_stream({"prompt": "x"}):
        told.append(piece)
    assert told == ["a", "b", "c"]


def test_a_prompt_begins_as_texts_do_and_only_once() -> None:
    engine = Bytes("yes", [BOS])
    model = TextModel(engine)
    assert model.prompt_ids("hi") == [BOS, *b"hi"]
    assert model.complete("hi") == "yes"
    assert engine.sequences[0].ids == [BOS, *b"hi", *b"yes"]

    class Parsing(Bytes):
        def tokenize(self, text: str, add_special_tokens: bool = False) -> list[int]:
            opened = text.startswith("<s>")
            return [*([BOS] if opened else []), *super().tokenize(text.removeprefix("<s>"), add_special_tokens)]

    assert TextModel(Parsing("yes", [BOS])).prompt_ids("<s>hi") == [BOS, *b"hi"]


def test_a_chat_is_rendered_and_nothing_is_put_before_it() -> None:
    engine = Bytes("yes", [BOS])
    engine.chat = "<user>{}<you>"
    found = TextModel(engine).predict(Frame({"messages": [[{"role": "user", "content": "hi"}]]}, index=[5]))
    assert found["text"] == ["yes"]
    assert found.index == [5]
    (sequence,) = engine.sequences
    assert sequence.ids == list(b"<user>hi<you>yes")


@pytest.mark.parametrize(
    ("chat", "row", "sentence"),
    [
        (None, {"messages": [{"role": "user", "content": "hi"}]}, "has no chat template; give a prompt"),
        (TemplateError("roles must alternate"), {"messages": [{"role": "user", "content": "hi"}]}, "must alternate"),
        (ValueError("roles must alternate"), {"messages": [{"role": "user", "content": "hi"}]}, "must alternate"),
        ("", {"prompt": ""}, "The prompt has no tokens; give it at least one character."),
        ("", {"prompt": float("nan")}, "A row needs one prompt, a string, or messages"),
        ("", {"prompt": "hi", "messages": [{"role": "user", "content": "hi"}]}, "and not both"),
        ("", {}, "A row needs one prompt, a string, or messages"),
    ],
)
def test_what_cannot_be_answered_is_refused(chat: Any, row: dict[str, Any], sentence: str) -> None:
    engine = Bytes("yes")
    engine.chat = chat
    with pytest.raises(Exception, match=sentence):
        list(TextModel(engine).predict_stream(row))


def test_an_input_without_rows_and_a_negative_number_of_tokens_are_refused() -> None:
    model = TextModel(Bytes("yes"))
    with pytest.raises(Exception, match="The input has no row with a prompt or messages; give"):
        model.predict(Frame({"prompt": []}))
    with pytest.raises(Exception, match="max_tokens is -1; give 0 or more"):
        model.complete("x", max_tokens=-1)
    assert model.complete("x", max_tokens=0) == ""


def test_without_a_number_an_answer_has_64_tokens_at_most() -> None:
    model = TextModel(Bytes("a" * 99))
    assert model.complete("x") == model.predict(Frame({"prompt": ["x"]}))["text"][0] == "a" * 64


def test_a_refusal_is_mlflows_where_there_is_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    assert repr(refusal("no")) == "ValueError('no')"
    mlflow = ModuleType("mlflow.exceptions")
    mlflow.MlflowException = SimpleNamespace(invalid_parameter_value=KeyError)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", mlflow)
    assert repr(refusal("no")) == "KeyError('no')"


def test_an_artifact_is_loaded_with_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ModuleType("hallmark_bytes_engine")
    asked: list[tuple[Path, int]] = []

    def open_engine(folder: Path, threads: int) -> Bytes:
        asked.append((folder, threads))
        return Bytes("yes")

    engine.open_engine = open_engine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, engine.__name__, engine)
    monkeypatch.setattr(text_model, "__name__", "hallmark_bytes_serving")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0: {1, 3, 5}}[process])
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert text_model.load("artifact").complete("x") == "yes"
    monkeypatch.delattr(os, "sched_getaffinity")
    text_model.load("artifact")
    assert asked == [(Path("artifact"), 3), (Path("artifact"), 1)]


def test_threads_take_turns() -> None:
    model = TextModel(Bytes(TEXT))
    said: list[str] = []

    def say() -> None:
        said.extend(model.predict(Frame({"prompt": ["x"] * 20}))["text"])

    threads = [Thread(target=say) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [TEXT] * 80
