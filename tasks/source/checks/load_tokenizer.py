"""Loads one tokenizer, in a process with limits of time and memory that may write no files.

This is a script and imports nothing of the product. Standard input is a JSON object:

    path              the tokenizer's file
    texts             texts to split
    vocabulary_size   the model's number of tokens

Standard output is {"error": why the tokenizer does not load}, or a JSON object:

    tokens        how many tokens the tokenizer has
    outside       the first [token, id] of its vocabulary for which the model has no row, or null
    added         how many added tokens have no row
    empty         whether the first text gives no token
    undecodable   the first [token, error] that cannot be decoded alone, or null; an empty token stands for none

A byte-pair tokenizer of 262,000 tokens, the largest in use, takes 2 s of processor time and 210 MB.
"""

import json
import resource
import sys
from typing import Any

CPU_SECONDS = 60
MEMORY_BYTES = 4 * 1024**3

PANIC = "PanicException"
"""What a decoder of the library tokenizers raises that strips more than a token has. It is no Exception, and no module
can be asked for it."""


def load_json(path: str, texts: list[str], size: int) -> dict[str, Any]:
    """Check a tokenizer.json."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # The library raises no narrower type.
        return {"error": str(error)}
    ids = [tokenizer.encode(text).ids for text in texts]
    own = tokenizer.get_vocab(with_added_tokens=False)
    outside = min(((number, token) for token, number in own.items() if number >= size), default=None)
    return {
        "tokens": tokenizer.get_vocab_size(),
        "outside": outside and [outside[1], outside[0]],
        "added": sum(1 for number in tokenizer.get_vocab().values() if number >= size),
        "empty": not ids[0],
        "undecodable": _first_undecodable(tokenizer),
    }


def _first_undecodable(tokenizer: Any) -> list[str] | None:
    for token, ids in (("", []), *((token, [number]) for token, number in tokenizer.get_vocab().items())):
        try:
            tokenizer.decode(ids, skip_special_tokens=False)
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != PANIC:
                raise
            return [token, str(error)]
    return None


def load_sentencepiece(path: str, texts: list[str], size: int) -> dict[str, Any]:
    """Check a model of the library sentencepiece."""
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=path)
    except (RuntimeError, OSError) as error:
        return {"error": str(error)}
    ids = [processor.encode(text) for text in texts]
    pieces = processor.get_piece_size()
    outside = [processor.id_to_piece(size), size] if pieces > size else None
    return {
        "tokens": pieces,
        "outside": outside,
        "added": 0,
        "empty": not ids[0],
        "undecodable": None,
    }


def main() -> None:
    """Set the limits, load the tokenizer, and print the answer."""
    # At the first limit comes SIGXCPU, at the second SIGKILL, which others send, too.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = json.load(sys.stdin)
    load = load_json if asked["path"].endswith(".json") else load_sentencepiece
    json.dump(load(asked["path"], asked["texts"], asked["vocabulary_size"]), sys.stdout)


if __name__ == "__main__":
    main()
