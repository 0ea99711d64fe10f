"""A runner measures by the greedy loop that serves, and times that loop."""

import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.engines import runner as runners
from tasks.engines.batch import StackedBatch
from tasks.engines.runner import Runner
from tasks.engines.text_model import TextModel
from tasks.errors import Corrupt, Unsupported
from tests.tasks.engines.test_batch import Sums
from tests.tasks.engines.test_text_model import Bytes, Sequenced


class Slow(Bytes):
    """Takes a hundredth of a second for each call, and can be closed."""

    closed = False

    def advance(self, state: Sequenced, token_ids: Sequence[int], last_only: bool = False) -> NDArray[np.float32]:
        time.sleep(0.01)
        return super().advance(state, token_ids, last_only)

    def close(self) -> None:
        self.closed = True


def test_what_is_measured_is_what_is_served() -> None:
    model = Slow("yes and no")
    runner = Runner(model)
    assert (runner.engine, runner.vocabulary_size, runner.context_length) == ("bytes 1", 258, 10_000)
    said = runner.generate(runner.tokenize("hi"), 6, [256])
    assert runner.detokenize(said.token_ids) == TextModel(model).complete("hi", 6) == "yes an"
    assert [sequence.ids for sequence in model.sequences] == [list(b"hiyes a")] * 2


def test_each_token_has_the_seconds_since_the_call() -> None:
    began = time.perf_counter()
    seconds = Runner(Slow("yes and no")).generate([1, 2], 6).seconds
    assert len(seconds) == 6 and seconds[-1] <= time.perf_counter() - began
    assert all(second >= 0.01 * place for place, second in enumerate(seconds, 1))
    assert seconds == sorted(seconds)


def test_only_the_stop_ids_end_it_and_not_the_models_own_ends() -> None:
    runner = Runner(Bytes("yes"))
    assert runner.generate([1], 4).token_ids == [*b"yes", 256]
    assert runner.generate([1], 9, (ord("e"), 256)).token_ids == [ord("y")]


def test_it_ends_as_soon_as_the_caller_has_enough() -> None:
    model = Bytes("yes and no")
    assert Runner(model).generate([1], 9, enough=lambda tokens: tokens[-1] == ord("s")).token_ids == [*b"yes"]
    assert model.sequences[0].ids == [1, *b"ye"]


def test_ends_prompts_and_text_are_those_of_serving() -> None:
    model = Bytes("yes", [257])
    runner = Runner(model)
    assert runner.end_ids == {256}
    assert runner.input_ids({"prompt": "hi"}) == TextModel(model).prompt_ids("hi") == [257, *b"hi"]
    model.chat = "<user>{}"
    assert runner.input_ids({"messages": [{"role": "user", "content": "hi"}]}) == list(b"<user>hi")
    assert runner.continuation_text("é".encode()[:1], "é b".encode()[1:]) == "é b"


def test_logits_are_the_models() -> None:
    runner = Runner(Bytes("yes"))
    assert [block.shape for block in runner.logits([7] * 40)] == [(32, 258), (8, 258)]
    assert runner.render_chat([{"role": "user", "content": "hi"}], True) is None


class Failing(Bytes):
    """An engine that fails when it runs."""

    def advance(self, state: Sequenced, token_ids: Sequence[int], last_only: bool = False) -> NDArray[np.float32]:
        raise RuntimeError("Non-zero status code while running Split node.\nInvalid value")


def test_an_engine_that_fails_is_reported_in_its_own_words() -> None:
    runner = Runner(Failing("yes"))
    told = (
        "^Non-zero status .* Split node. Invalid value: bytes 1 cannot run the artifact; run the release again with '"
    )
    for call in (lambda: runner.generate([1], 1), lambda: list(runner.logits([1]))):
        with pytest.raises(Corrupt, match=told):
            call()


def test_a_closed_runner_frees_its_model_and_says_so() -> None:
    model = Slow("yes")
    runner = Runner(model)
    runner.close()
    runner.close()
    assert model.closed
    for call in (lambda: runner.tokenize("a"), lambda: runner.generate([1], 1), lambda: runner.logits([1])):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_each_call_notes_what_it_works_on(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(runners, "at_work_on", notes.append)
    runner = Runner(Slow("yes"), lambda *asked: StackedBatch(Sums(), *asked))
    runner.tokenize("hi")
    runner.detokenize([104, 105])
    runner.generate([104, 105], 1)
    list(runner.logits([104, 105]))
    runner.render_chat([{"role": "user", "content": "hi"}], True)
    runner.together(np.array([[1, 2], [3, 4], [5, 6]]), 1)
    assert notes == [
        "the tokens of the text 'hi'",
        "the text of 2 tokens, [104, 105]",
        "a continuation of 2 tokens, [104, 105]",
        "the logits of 2 tokens, [104, 105]",
        "the chat [{'content': 'hi', 'role': 'user'}]",
        "3 prompts of 2 tokens, decoded together",
    ]


def test_sequences_are_decoded_together_by_what_the_engine_gives() -> None:
    runner = Runner(Bytes("yes"))
    with pytest.raises(Unsupported, match="^bytes 1 decodes one sequence at a time here.$"):
        runner.together(np.array([[1, 2], [3, 4]]), 3)
    engine = Sums()
    runner = Runner(Bytes("yes"), lambda *asked: StackedBatch(engine, *asked))
    said = runner.together(np.array([[1, 2], [3, 4]]), 3).generate(3)
    assert said.token_ids.tolist() == [[3, 6, 12], [7, 14, 28]]
    assert engine.lengths == [5]
