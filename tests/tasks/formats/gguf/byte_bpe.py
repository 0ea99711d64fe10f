"""Trains small byte-level BPE tokenizers with a chosen pre-tokenizer."""

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tasks.formats.gguf.pretokenizer import KNOWN

LINES = [
    "The lighthouse keeper counted 12 ships, 345 gulls and 6,789 waves; she's sure they'll return.\n",
    "def total(items):\n    return sum(item.price for item in items)\n",
    "Das Schiff heißt Möwe, le bateau s'appelle Été, корабль зовут Чайка.\n",
    "  Tabs\tand   runs of  spaces, \r\n\r\n and empty lines.\n\n\n 3333 33 नमस्ते 日本語 e\u0301",
]
UNKNOWN = r"[^e]+|e"


def train(name: str, vocabulary: int, texts: Sequence[str] = ()) -> Tokenizer:
    """Train one whose patterns are those of a llama.cpp pre-tokenizer; `unknown` gives patterns of no engine."""
    patterns, whole_words = {known: key for key, known in KNOWN.items()}.get(name, ((UNKNOWN,), False))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE(ignore_merges=whole_words))
    # Merges are learnt across every boundary, so that a text cut elsewhere gets other ids.
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*LINES * 20, *texts], trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns] + [byte_level]
    )
    return tokenizer
