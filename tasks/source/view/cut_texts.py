"""Cuts texts by a tokenizer's file, with the library that the file was written for, in a process with limits.

This is a script and imports nothing of the product. Standard input is a JSON object:

    path     the tokenizer's file: tokenizer.json (library tokenizers), or a model of the library sentencepiece
    texts    texts to cut

Standard output is {"error": why the file does not load}, or a JSON object:

    ids       for each text, its token ids; nothing is put around the text
    bare      the ids of the text "a"
    opened    the ids of the text "a" with what the tokenizer puts around a text
    pieces    the id of each token of the file's own vocabulary, without added ones, by its text
"""

import json
import resource
import sys
from typing import Any

CPU_SECONDS = 120
MEMORY_BYTES = 4 * 1024**3


def cut_by_tokenizers(path: str, texts: list[str]) -> dict[str, Any]:
    """Cut by a tokenizer.json; special tokens in a text are parsed."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # The library raises no narrower type.
        return {"error": str(error)}
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return {
        "ids": [tokenizer.encode(text, add_special_tokens=False).ids for text in texts],
        "bare": tokenizer.encode("a", add_special_tokens=False).ids,
        "opened": tokenizer.encode("a").ids,
        "pieces": tokenizer.get_vocab(with_added_tokens=False),
    }


def cut_by_sentencepiece(path: str, texts: list[str]) -> dict[str, Any]:
    """Cut by a SentencePiece model; control symbols in a text are plain text to this library."""
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=path)
    except (RuntimeError, OSError) as error:
        return {"error": str(error)}
    bare = processor.encode("a")
    return {
        "ids": [processor.encode(text) for text in texts],
        "bare": bare,
        "opened": bare,
        "pieces": {processor.id_to_piece(number): number for number in range(processor.get_piece_size())},
    }


def main() -> None:
    """Set the limits, cut the texts, and print the answer."""
    # At the first limit comes SIGXCPU, at the second SIGKILL, which others send, too.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = json.load(sys.stdin)
    cut = cut_by_tokenizers if asked["path"].endswith(".json") else cut_by_sentencepiece
    json.dump(cut(asked["path"], asked["texts"]), sys.stdout)


if __name__ == "__main__":
    main()
