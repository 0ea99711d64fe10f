"""The tokenizer loads, round-trips plain text, and gives no id that the embedding has no row for."""

from pathlib import Path
from typing import Any

from tasks.errors import Corrupt
from tasks.source.parameters import ScanParameters
from tasks.source.snapshot import Snapshot

FILE = "tokenizer.json"
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
SAMPLE = "A hallmark is struck on metal after it has been assayed: 925."


def check_tokenizer(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt where the file does not load or its vocabulary is larger than the model's."""
    for name in SENTENCEPIECE:
        if (snapshot.folder / name).is_file() and not (snapshot.folder / FILE).is_file():
            return _check_sentencepiece(snapshot.folder / name, snapshot.config.vocabulary_size)
    if not (snapshot.folder / FILE).is_file():
        return f"there is no {FILE}", False
    tokenizer = _load(snapshot.folder / FILE)
    size = snapshot.config.vocabulary_size
    for token, number in tokenizer.get_vocab(with_added_tokens=False).items():
        if number >= size:
            raise Corrupt(f"{FILE}: token {token!r} has the id {number}, but config.json: vocab_size is {size}.")
    if not tokenizer.encode(SAMPLE).ids:
        raise Corrupt(f"{FILE} makes no tokens of plain text; ask its publisher to mend it.")
    # Families of several modalities ship their text models with added tokens that only the larger ones have rows for.
    beyond = [token for token, number in tokenizer.get_vocab().items() if number >= size]
    note = f", of which {len(beyond)} added ones have no row in the embedding" if beyond else ""
    return f"{FILE} loads: {tokenizer.get_vocab_size()} tokens{note}", True


def _load(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises no narrower type.
        raise Corrupt(f"{FILE} does not load ({error}); ask its publisher to mend it.") from error


def _check_sentencepiece(path: Path, vocabulary_size: int) -> tuple[str, bool]:
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise Corrupt(f"{path.name} does not load ({error}); ask its publisher to mend it.") from error
    size = processor.get_piece_size()
    if size > vocabulary_size:
        raise Corrupt(f"{path.name} has {size} tokens, but config.json: vocab_size is {vocabulary_size}.")
    return f"{path.name} loads: {size} tokens", True
