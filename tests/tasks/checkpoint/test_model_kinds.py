"""Models of transformers that are no causal language models are known by their type, their class or a field."""

from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

transformers = pytest.importorskip("transformers")

from tasks.checkpoint.model_kinds import kind_of_class, kind_of_type, reads_both_ways


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [
        ("mistral3", "reads images, too"),
        ("qwen2_audio", "reads images or sounds, too"),
        ("whisper", "reads speech"),
        ("t5", "has an encoder for the text that it answers"),
        ("deberta", "fills in words that a text leaves out"),
        ("novel", None),
    ],
)
def test_the_kind_of_a_type(model_type: str, kind: str | None) -> None:
    assert kind_of_type(model_type) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BartForConditionalGeneration", "has an encoder for the text that it answers"),
        ("WhisperForConditionalGeneration", "reads speech"),
        ("XLMRobertaForMaskedLM", "fills in words that a text leaves out"),
        ("Qwen2ForSequenceClassification", "classifies texts"),
        ("LlamaForTokenClassification", "classifies tokens"),
        ("Qwen2ForQuestionAnswering", "finds answers in a text"),
        ("BertForMultipleChoice", "chooses among answers"),
        ("LlamaForCausalLM", None),
        ("BartForCausalLM", None),
        # It also continues texts.
        ("XLMWithLMHeadModel", None),
        # The part for text is a causal language model.
        ("Gemma3ForConditionalGeneration", None),
        ("MllamaForConditionalGeneration", None),
        ("LlamaModel", None),
        ("NovelForCausalLM", None),
    ],
)
def test_the_kind_of_a_class(name: str, kind: str | None) -> None:
    assert kind_of_class(name) == kind


@pytest.mark.parametrize(
    ("model_type", "fields", "found"),
    [
        ("bert", {}, "is_decoder is not true"),
        ("xlm-roberta", {"is_decoder": False}, "is_decoder is not true"),
        ("roberta", {"is_decoder": True}, None),
        ("bart", {}, None),
        ("gpt_neox", {}, None),
        ("llama", {}, None),
        ("qwen3", {"is_causal": False}, "is_causal is false"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention is true"),
        ("gemma4_text", {"use_bidirectional_attention": "all"}, "use_bidirectional_attention is all"),
        ("gemma4_text", {"use_bidirectional_attention": "vision"}, None),
    ],
)
def test_a_field_says_that_a_text_is_read_in_both_directions(
    model_type: str, fields: dict[str, Any], found: str | None
) -> None:
    assert reads_both_ways(transformers.AutoConfig.for_model(model_type, **fields)) == found
