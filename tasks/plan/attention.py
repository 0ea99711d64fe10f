"""How much memory the attention of one long sequence takes when transformers runs the source on a processor.

Scaled dot-product attention needs no matrix of scores, only masks. The other implementation ("eager") has the scores of
all heads in memory, before and after the softmax.
"""

EAGER = frozenset((
    "big_bird", "bigbird_pegasus", "bloom", "codegen", "cpmant", "deepseek_v4", "flint", "gemma2", "git",
    "got_ocr2", "gpt_neo", "gpt_neox_japanese", "gpt_oss", "gptj", "granite_swa", "granitemoe_swa", "hy_v4",
    "inkling2_text", "megatron-bert", "mimo_v2_flash", "mpt", "mvp", "openai-gpt", "prophetnet", "reformer",
    "rembert", "roformer", "trocr", "vaultgemma", "xglm", "xlm", "xlnet",
))  # fmt: skip
"""Types of models with a language head that transformers runs with eager attention: their classes take no other."""

MATRICES_OF_A_HEAD = 2
MASKS_EAGER = 4
MASKS = 2
"""Matrices [tokens, tokens] of 4 bytes that are alive at once.

Measured with random models of 4 layers in float32, one thread, the growth of VmHWM from 32 tokens to one sequence:

    model type   heads   tokens   predicted   measured, MB
    gemma2           8     4608        1699           1573
    gemma2           2     4608         679            598
    gemma2           4     2048         201            187
    mistral          8     4608         170            139
    llama            8     4608         170             25
"""


def attention_bytes(model_type: str, heads: int, tokens: int) -> int:
    """Return the memory for one sequence's attention scores and masks, in bytes."""
    matrices = MATRICES_OF_A_HEAD * heads + MASKS_EAGER if model_type in EAGER else MASKS
    return 4 * matrices * tokens**2
