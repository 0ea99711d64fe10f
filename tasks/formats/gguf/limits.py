"""Models that llama.cpp's converter knows and does not convert, found by converting a tiny model of each family.

The plan reads this module, so it imports no library.
"""

from tasks.checkpoint.analysis import Analysis

UNGROUPED = frozenset(("PhiForCausalLM", "OlmoeForCausalLM"))
"""Architectures of which llama.cpp loads only models whose attention heads each have keys of their own."""

SENTENCEPIECE = frozenset(
    ("Ernie4_5ForCausalLM", "Ernie4_5_MoeForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "NemotronForCausalLM")
)
"""Architectures of which the converter reads only a tokenizer.model, which a byte-level tokenizer has not."""

KINDS = {
    "unigram": "a Unigram tokenizer chooses the likeliest pieces, and llama.cpp merges pieces by their scores instead",
    "wordpiece": "llama.cpp's converter takes a WordPiece tokenizer only for models that generate no text",
    "wordlevel": "a WordLevel tokenizer looks words up whole, and llama.cpp has no tokenizer of this kind",
}
"""Kinds of tokenizers that no GGUF file can hold, as the analysis names them, and why."""


FOUR_TIMES = frozenset(
    ("BloomForCausalLM", "FalconForCausalLM", "GPT2LMHeadModel", "GPTBigCodeForCausalLM", "PhiForCausalLM")
)
"""Architectures whose inner layers the converter always takes for four times as wide as the model."""


def obstacle(analysis: Analysis) -> str | None:
    """Return why the model cannot become a GGUF file, None where nothing is known against it."""
    name = analysis.architecture
    if name in UNGROUPED and analysis.kv_heads != analysis.heads:
        return (
            f"llama.cpp loads {name} only with as many key heads as attention heads, and this model has "
            f"{analysis.kv_heads} and {analysis.heads}"
        )
    if name in SENTENCEPIECE and analysis.tokenizer == "byte-bpe":
        return (
            f"llama.cpp's converter takes {name} only with a tokenizer.model, and this model's tokenizer is byte-level"
        )
    if why := KINDS.get(analysis.tokenizer):
        return f"tokenizer.json: {why}"
    wide = 4 * analysis.hidden_size
    if name in FOUR_TIMES and wide and wide not in analysis.row_lengths:
        return (
            f"llama.cpp takes the inner layers of {name} for four times as wide as the model ({wide}), and this model "
            "has none of that width"
        )
    return None
