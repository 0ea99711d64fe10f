"""Says which normalization of a tokenizer llama.cpp leaves out: it never changes a text before it cuts it."""

from collections.abc import Sequence
from pathlib import Path

from tasks.checkpoint.normalization import read_normalization
from tasks.evaluation.caveats import Caveat

NFC = Caveat(
    text="llama.cpp leaves the NFC normalization out",
    explains="tokenizer_parity",
    only_if_whole="tokenizer_parity_nfc",
)

ONLY_NFC = ("NFC",)
"""The one normalization that a gate may allow: who sends normalized texts gets the source's tokens."""


def normalization_caveats(view: Path) -> list[Caveat]:
    """Return the caveat if the tokenizer of a source's view changes texts before it cuts them."""
    names = read_normalization(view)
    if names == ONLY_NFC:
        return [NFC]
    return [Caveat(text=left_out(names), explains="tokenizer_parity_nfc")] if names else []


def left_out(names: Sequence[str]) -> str:
    """Return the cause in words, by the names of the steps."""
    return f"llama.cpp leaves the normalization of texts out ({', '.join(names)})"
