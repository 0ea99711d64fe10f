"""Reports which models transformers implements itself, so that they need no code from their repository."""


def is_native(architecture: str, model_type: str) -> bool:
    """Whether the installed transformers implements this causal language model under this type.

    Many repositories still name their own code (`auto_map`), from the time before transformers had their model. One
    example is Phi-3.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return bool(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type) == architecture)


def is_known(model_type: str) -> bool:
    """Whether the installed transformers has a configuration of this type."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING
