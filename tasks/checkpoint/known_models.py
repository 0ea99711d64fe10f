"""Reports which models transformers implements itself, so that they need no code from their repository."""

from collections.abc import Iterator, Mapping


def is_native(architecture: str, model_type: str) -> bool:
    """Whether the installed transformers implements this causal language model under this type.

    Many repositories still name their own code (`auto_map`), from the time before transformers had their model. One
    example is Phi-3. Some wrote the name in other capitals than transformers does: MPTForCausalLM, PhiMoEForCausalLM.
    """
    built = causal_class(model_type)
    return built is not None and built.casefold() == architecture.casefold()


def is_built(architecture: str, model_type: str) -> bool:
    """Whether transformers builds all tensors of such a checkpoint as a causal language model.

    It builds by the type and does not look at the architecture, which may be an older or another name. It builds only a
    part of a model that also reads images, if it has a causal language model for that type's text.
    """
    from transformers.models.auto import modeling_auto

    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    whole = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(model_type)
    return causal is not None and (causal == architecture or whole != architecture)


def causal_class(model_type: str) -> str | None:
    """Return the name of the class that the installed transformers builds for a causal language model of this type."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found: str | None = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    return found


def is_language_model(model_type: str) -> bool:
    """Whether the installed transformers has a causal language model of this type, whatever part of a checkpoint."""
    return causal_class(model_type) is not None


def ties_unless_told(model_type: str) -> bool:
    """Whether transformers ties output head and embedding of this type if config.json does not say."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING and getattr(CONFIG_MAPPING[model_type], "tie_word_embeddings", False) is True


def ties_head_alone(model_type: str) -> bool:
    """Whether the causal language model of this type ties nothing but the weights of its output head.

    BERT and its like also tie a bias, which is not stored twice.
    """
    import transformers

    tied = getattr(getattr(transformers, causal_class(model_type) or "", None), "_tied_weights_keys", None)
    return tied is not None and len(tied) == 1


def is_class(name: str) -> bool:
    """Whether the installed transformers has a model of this name, of whatever kind."""
    from transformers.models.auto import modeling_auto

    mappings = (mapping for field, mapping in vars(modeling_auto).items() if field.endswith("_MAPPING_NAMES"))
    return any(name in classes(mapping) for mapping in mappings)


def is_bare(name: str) -> bool:
    """Whether this name is that of a model without a head, as the installed transformers has it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_MAPPING_NAMES

    # transformers has a few types whose first model has a head, such as Llama4ForConditionalGeneration.
    has_head = "For" in name or name in classes(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    return name in classes(MODEL_MAPPING_NAMES) and not has_head


def classes(mapping: Mapping[str, str | tuple[str, ...]]) -> Iterator[str]:
    """Yield the names of a mapping from types to classes; a few types have several."""
    for found in mapping.values():
        yield from (found,) if isinstance(found, str) else found
