import pytest

from tasks.plan.attention import EAGER, attention_bytes

RECURRENT = {"falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"}


@pytest.mark.parametrize(
    ("kind", "heads", "tokens", "measured"),
    [
        ("gemma2", 8, 4608, 1573e6),
        ("gemma2", 2, 4608, 598e6),
        ("gemma2", 4, 2048, 187e6),
        ("mistral", 8, 4608, 139e6),
    ],
)
def test_the_prediction_is_just_above_what_was_measured(kind: str, heads: int, tokens: int, measured: float) -> None:
    assert measured <= attention_bytes(kind, heads, tokens) <= 1.25 * measured


@pytest.mark.runtime("torch")
def test_the_models_with_eager_attention_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    mapping = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    classes = {kind: getattr(transformers, name, None) for kind, name in mapping.items() if isinstance(name, str)}
    eager = {kind for kind, one in classes.items() if one is not None and not one._supports_sdpa}
    assert eager - RECURRENT == EAGER
