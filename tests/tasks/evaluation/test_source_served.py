"""What serving must give, on a tokenizer that drops the first space of what it decodes."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tasks.evaluation.parameters import EvaluationSettings
from tasks.evaluation.reference_files import Chats, Generations, ServedCases
from tasks.evaluation.reference_windows import TextRecord, first_token_ids
from tasks.evaluation.source_continuations import generate_all
from tasks.evaluation.source_model import SourceModel
from tasks.evaluation.source_parity import cut_texts, render_chats
from tasks.evaluation.source_served import disputed_ids, served_cases
from tests.fixtures.prefix_space import write_prefix_space_tokenizer
from tests.fixtures.tiny_checkpoint import VOCABULARY, tiny_llama, write_checkpoint


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SourceModel:
    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint"), tiny_llama())
    write_prefix_space_tokenizer(folder)
    return SourceModel(folder, 1)


@pytest.fixture(scope="module")
def generations(source: SourceModel) -> Generations:
    record = TextRecord("1", "The cat sleeps on the stove", "The cat", " sleeps")
    return generate_all(source, [record], [0], EvaluationSettings(generations=2, generated_tokens=8), 1)


@pytest.fixture(scope="module")
def served(source: SourceModel, generations: Generations) -> ServedCases:
    return served_cases(source, first_token_ids(source.tokenizer), render_chats(source.tokenizer), generations)


def test_a_continuation_keeps_its_first_space(source: SourceModel) -> None:
    ids = source.tokenizer.encode("Once upon a time", add_special_tokens=False)
    cut = next(place for place in range(1, len(ids)) if source.decode(ids[:place]) == "Once upon a")
    assert source.decode(ids[cut:]) == "time"
    assert source.continuation_text(ids[:cut], ids[cut:]) == " time"


def test_a_continuation_begins_with_a_whole_character(source: SourceModel, served: ServedCases) -> None:
    ids = source.tokenizer.encode("a🚀b", add_special_tokens=False)
    whole = [place for place in range(len(ids)) if source.begins_character(ids, place)]
    assert len(whole) == len(ids) - 3
    assert all("\N{REPLACEMENT CHARACTER}" not in one.text for one in served.continuations if one.name == "emoji")


def test_prompts_are_opened_once(served: ServedCases) -> None:
    prompts = {case.name: case for case in served.prompts}
    plain, opened = prompts["a story"], prompts["a story, opened already"]
    assert plain.token_ids[0] == 0
    assert opened.prompt == f"<s>{plain.prompt}"
    assert opened.token_ids.count(0) == plain.token_ids.count(0) == 1


def test_chats_are_read_as_they_are_rendered(
    source: SourceModel, generations: Generations, served: ServedCases
) -> None:
    chats = render_chats(source.tokenizer)
    assert chats is not None
    named = {case.name: case for case in served.prompts if case.messages}
    assert {"chat one question", "chat several turns"} <= set(named)
    assert "chat odd characters" not in named
    text = next(case.text for case in chats.cases if case.name == "one question")
    assert list(named["chat one question"].token_ids) == source.tokenizer.encode(text, add_special_tokens=False)
    dated = Chats(dated=True, cases=chats.cases)
    assert not any(case.messages for case in served_cases(source, [0], dated, generations).prompts)


def test_greedy_continuations_are_compared_too(source: SourceModel, generations: Generations) -> None:
    said = [one.model_copy(update={"text": text}) for one, text in zip(generations.continuations, ("a", "\ufffd"))]
    changed = generations.model_copy(update={"continuations": tuple(said)})
    names = {case.name for case in served_cases(source, [0], None, changed).continuations}
    # Bytes that are no character have no right text.
    assert said[0].name in names
    assert said[1].name not in names
    assert len(names) > 100


def test_a_tokenizer_that_opens_nothing_has_no_opened_prompts(tmp_path: Path, generations: Generations) -> None:
    source = SourceModel(write_checkpoint(tmp_path / "plain", tiny_llama()), 1)
    served = served_cases(source, [], None, generations)
    assert [case.name for case in served.prompts] == ["a story", "a line of code", "a sum"]


def test_a_token_that_some_engines_hide_is_in_no_continuation(tmp_path: Path, generations: Generations) -> None:
    from tokenizers import AddedToken

    folder = write_checkpoint(tmp_path / "markers", tiny_llama(vocab_size=VOCABULARY + 4))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    added = [("<|x|>", False), ("<mask>", False), ("<think>", False), ("<|end|>", True)]
    tokenizer.add_tokens([AddedToken(text, special=special) for text, special in added])
    tokenizer.save_pretrained(folder)
    source = SourceModel(folder, 1)
    hidden, mask, shown, special = (source.tokenizer.convert_tokens_to_ids(text) for text, _ in added)
    assert source.decode([hidden]) == "<|x|>"
    assert disputed_ids(source.tokenizer) == {hidden, mask}
    cases = served_cases(source, [], None, generations).continuations
    used = {token for case in cases for token in (*case.prompt_ids, *case.token_ids)}
    assert used.isdisjoint({hidden, mask}) and {shown, special} <= used


def test_a_token_that_the_model_has_no_row_for_is_in_no_case(tmp_path: Path, generations: Generations) -> None:
    """As Gemma 3's token for images: llama.cpp ends its process at such an id."""
    folder = write_checkpoint(tmp_path / "image", tiny_llama(vocab_size=VOCABULARY + 1))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<pad>", "mask_token": "<image_soft_token>"})
    tokenizer.save_pretrained(folder)
    source = SourceModel(folder, 1)
    assert source.rows == VOCABULARY + 1 == source.tokenizer.mask_token_id
    cases = served_cases(source, [], None, generations).continuations
    read = {token for case in cases for token in (*case.prompt_ids, *case.token_ids)}
    cut = {token for case in cut_texts(source.tokenizer, source.rows).cases for token in case.token_ids}
    assert max(read) == max(cut) == VOCABULARY
