"""Which families of models keep something else than keys and values of the tokens that they have read.

Plans read these lists, because the control environment has no transformers. A test compares them with the transformers
that converts and serves.
"""

WITHOUT_KEYS_AND_VALUES = frozenset(
    (
        *("falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"),
        *("gemma4_assistant", "gemma4_unified_assistant", "openai-gpt", "reformer", "xlm", "xlnet"),
    )
)
"""Values of `model_type` whose model takes no `past_key_values`: it keeps another state, or nothing."""

STATEFUL = frozenset(
    (
        *("bailing_hybrid", "bamba", "deepseek_v4", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba"),
        *("kimi_linear", "lfm2", "lfm2_moe", "lfm3", "mamba", "mamba2", "minimax", "nemotron_h", "olmo_hybrid"),
        *("qwen3_5", "qwen3_5_moe", "qwen3_next", "qwen4_exp", "recurrent_gemma", "rwkv", "xlstm", "zamba", "zamba2"),
        "zaya",
    )
)
"""Values of `model_type` with more state than keys and values: state-space models, linear attention, convolutions, and
hybrids of them with attention.
"""
