"""Says which normalization of a tokenizer llama.cpp leaves out: it never brings a text into Unicode's form NFC."""

from pathlib import Path

from tasks.checkpoint.snapshot import Snapshot
from tasks.evaluation.caveats import Caveat
from tasks.formats.gguf.spelling import TOKENIZER, steps

NFC = Caveat(
    text="llama.cpp leaves the NFC normalization out",
    explains="tokenizer_parity",
    only_if_whole="tokenizer_parity_nfc",
)


def normalization_caveats(source: Path) -> list[Caveat]:
    """Return the caveat if the tokenizer.json of a folder asks for NFC, at any depth; none if there is no such file."""
    tokenizer = Snapshot(source).json(TOKENIZER) or {}
    return [NFC] if any(step.get("type") == "NFC" for step in steps(tokenizer.get("normalizer"))) else []
