"""Makes llama.cpp follow the flags of added tokens as far as it can, and names the tokens for which it cannot.

A tokenizer may drop the spaces before an added token (`lstrip`) or behind it (`rstrip`), or find it only as a whole
word (`single_word`). A GGUF file has no field for these flags. llama.cpp 0.3.36 goes by the model's name. If it
contains "phi-3" or "phi3", llama.cpp drops the spaces behind all added tokens but three, as Phi-3's tokenizer does, and
does not load a file without four tokens of Phi-3 (src/llama-vocab.cpp).

A model that was trained from Phi-3 may have any name, and another model may have that word in its name. The name in the
file therefore follows the flags. The names of files do not change.
"""

import re
from collections.abc import Sequence
from typing import Any

from tasks.evaluation.caveats import Caveat

PHI_3 = re.compile("(phi)-?(3)", re.IGNORECASE)
"""What llama.cpp looks for in the name."""

KEEP_SPACES = frozenset({"<unk>", "<s>", "<|endoftext|>"})
"""The added tokens of Phi-3 behind which spaces stay."""

NEEDED = KEEP_SPACES | {"</s>"}
"""The tokens without which llama.cpp does not load a file with such a name."""


def strips_as_phi_3(added: Sequence[Any]) -> bool:
    """Return whether a tokenizer drops spaces behind the same tokens as llama.cpp does for Phi-3.

    added: its added tokens, as the tokenizers library has them.
    """
    texts = {token.content for token in added}
    return texts >= NEEDED and {token.content for token in added if token.rstrip} == texts - KEEP_SPACES


def name_in_file(name: str, as_phi_3: bool) -> str:
    """Return the model's name for the file. as_phi_3: whether llama.cpp is to drop spaces as for Phi-3."""
    if not as_phi_3:
        return PHI_3.sub(r"\1 \2", name)
    return name if PHI_3.search(name) else f"{name} (phi-3)"


def lost_flags(added: Sequence[Any], as_phi_3: bool) -> list[str]:
    """Return the texts of the added tokens with a flag that llama.cpp does not follow."""
    return [token.content for token in added if token.lstrip or token.single_word or (token.rstrip and not as_phi_3)]


def caveats_of_flags(tokens: Sequence[str]) -> list[Caveat]:
    """Return a caveat on added tokens with such flags, if there are some. tokens: their texts."""
    if not tokens:
        return []
    others = f" and {len(tokens) - 1} more" if len(tokens) > 1 else ""
    flags = "the flags lstrip, rstrip and single_word of added tokens"
    text = f"llama.cpp ignores {flags}, and this tokenizer sets some for {tokens[0]!r}{others}"
    return [Caveat(text=text, explains="tokenizer_parity_nfc")]
