"""Reports what a model of transformers does that is no causal language model."""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.known_models import classes

KINDS: Mapping[str, str] = {
    "IMAGE_TEXT_TO_TEXT": "reads images, too",
    "MULTIMODAL_LM": "reads images or sounds, too",
    "SPEECH_SEQ_2_SEQ": "reads speech",
    "SEQ_TO_SEQ_CAUSAL_LM": "has an encoder for the text that it answers",
    "MASKED_LM": "fills in words that a text leaves out",
    "SEQUENCE_CLASSIFICATION": "classifies texts",
    "TOKEN_CLASSIFICATION": "classifies tokens",
    "QUESTION_ANSWERING": "finds answers in a text",
    "MULTIPLE_CHOICE": "chooses among answers",
}
"""What the models of transformers' mappings do, by the names of the mappings. The first one that has a model counts."""

IN_PART = ("IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM")
"""Kinds of which transformers may build the part for text, which is a causal language model."""


def kind_of_type(model_type: str) -> str | None:
    """Return what models of a type do, of which transformers has no causal language model; None if it is not known."""
    return next((does for kind, does in KINDS.items() if model_type in _mapping(kind)), None)


def kind_of_class(name: str) -> str | None:
    """Return what a class of transformers does that is no causal language model, not even in part; None if it is one,
    or if it is not known.
    """
    if name in classes(_mapping("CAUSAL_LM")):
        return None
    return next((does for kind, does in KINDS.items() if kind not in IN_PART and name in classes(_mapping(kind))), None)


def reads_both_ways(config: Any) -> str | None:
    """Return the field by which a model reads a text in both directions, with its value; None if in one.

    config: of transformers, for a type that has a causal language model.
    """
    text = config.get_text_config()
    kind = config.model_type
    # The decoders of models that also have an encoder set `is_decoder` themselves, and other families ignore it.
    switched = kind in _mapping("MASKED_LM") and kind not in _mapping("SEQ_TO_SEQ_CAUSAL_LM")
    if switched and getattr(text, "is_decoder", True) is False:
        return "is_decoder is not true"
    if (both := getattr(text, "use_bidirectional_attention", None)) in (True, "all"):
        return f"use_bidirectional_attention is {str(both).lower()}"
    # Some families derive it from the field above.
    return "is_causal is false" if getattr(text, "is_causal", True) is False else None


def _mapping(kind: str) -> Mapping[str, str | tuple[str, ...]]:
    from transformers.models.auto import modeling_auto

    found: Mapping[str, str | tuple[str, ...]] = getattr(modeling_auto, f"MODEL_FOR_{kind}_MAPPING_NAMES")
    return found
