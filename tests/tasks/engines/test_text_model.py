"""Greedy text as it is served: pieces, stop strings, chats, refusals; on an engine of bytes."""

from collections.abc import Iterator, Sequence
from threading import Thread
from time import sleep
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError

from tasks.engines.text_model import INCOMPLETE, TextModel, before_stop
from tests.tasks.engines.frames import Frame

TEXT = "Эта свеча красная. 你好 🙂 and no more"


class Bytes:
    """Says a text byte by byte, and knows whether two threads are in it at once."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.chat: str | Exception | None = None
        self.asked: list[Any] = []
        self.inside = False

    def prompt_ids(self, prompt: str) -> list[int]:
        self.asked.append(prompt)
        return list(prompt.encode())

    def tokenize(self, text: str) -> list[int]:
        self.asked.append(f"rendered {text}")
        return list(text.encode())

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode(errors="replace")

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        assert add_generation_prompt
        if isinstance(self.chat, Exception):
            raise self.chat
        return self.chat and self.chat.format(messages[-1]["content"])

    def answer(self, token_ids: Sequence[int], max_tokens: int) -> Iterator[int]:
        if not token_ids:
            raise ValueError("The prompt has no tokens; give it at least one character.")
        for token in self.text[:max_tokens]:
            assert not self.inside
            self.inside = True
            sleep(0)
            self.inside = False
            yield token


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


def test_what_may_be_a_part_of_a_stop_string_waits() -> None:
    assert list(before_stop(["ab", "c<", "/", "s>", "d"], ["</s>"])) == ["ab", "c"]
    assert list(before_stop(["ab", "c<", "/", "t>", "<"], ["</s>"])) == ["ab", "c", "</t>", "<"]
    assert list(before_stop(["aab"], ["ab", "aab"])) == []


def test_a_piece_comes_before_the_next_token_is_asked_for() -> None:
    engine = Bytes("abc")
    told: list[str] = []
    plain = engine.answer

    def watched(token_ids: Sequence[int], max_tokens: int) -> Iterator[int]:
        for place, token in enumerate(plain(token_ids, max_tokens)):
            assert len(told) == place
            yield token

    engine.answer = watched  # type: ignore[method-assign]
    for piece in TextModel(engine).predict_stream({"prompt": "x"}):
        told.append(piece)
    assert told == ["a", "b", "c"]


def test_a_chat_is_rendered_and_nothing_is_put_before_it() -> None:
    engine = Bytes("yes")
    engine.chat = "<user>{}<you>"
    found = TextModel(engine).predict(Frame({"messages": [[{"role": "user", "content": "hi"}]]}, index=[5]))
    assert found["text"] == ["yes"]
    assert found.index == [5]
    assert engine.asked == ["rendered <user>hi<you>"]


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
