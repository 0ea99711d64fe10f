"""Writes the added tokens of a source into the view's tokenizer.json, all of them and as transformers holds them.

tokenizer_config.json may name tokens that tokenizer.json does not add, and may call a token special that tokenizer.json
calls ordinary: Gemma's `<mask>`. transformers parses the first in texts and hides the second from what it decodes.
Engines that read tokenizer.json alone would do neither.
"""

from pathlib import Path
from typing import Any

from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.view_files import write

FILE = "tokenizer.json"

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def complete_added_tokens(snapshot: Snapshot, view: Path, loaded: Any) -> None:
    """Rewrite the view's tokenizer.json where its added tokens are not those of transformers' tokenizer.

    A token that is special by either is special. Nothing is done without a tokenizer.json, or for a class that has no
    tokenizer of the library tokenizers.
    """
    content = Snapshot(view).json(FILE)
    backend = getattr(loaded, "backend_tokenizer", None)
    if content is None or backend is None:
        return
    held = backend.get_added_tokens_decoder()
    listed = [token for token in content.get("added_tokens") or () if isinstance(token, dict)]
    settled = [
        {**token, "special": bool(token.get("special") or (token.get("id") in held and held[token["id"]].special))}
        for token in listed
    ]
    named = {token.get("id") for token in listed}
    settled += [
        {"id": number, "content": token.content, **{flag: getattr(token, flag) for flag in FLAGS}}
        for number, token in sorted(held.items())
        if number not in named
    ]
    if settled != listed:
        # The library takes the tokens in the order of their ids.
        write(snapshot, view, FILE, {**content, "added_tokens": sorted(settled, key=lambda token: token["id"])})
