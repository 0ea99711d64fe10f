"""Whether transformers has a model's class itself, so that the code in its repository need not be run."""


def is_native(architecture: str, model_type: str) -> bool:
    """Whether the installed transformers has this causal language model under this type.

    Repositories keep the code (`auto_map`) with which a model first came out, as Phi-3's do, long after that.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return bool(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type) == architecture)
