"""The files that travel with a model's weights: configuration, tokenizer, chat template, licence and notices."""

import shutil
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "*.tiktoken",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "LICENSE*",
    "LICENCE*",
    "COPYING*",
    "NOTICE*",
    "USE_POLICY*",
)
"""Glob patterns below a snapshot's root. Licence and notices go along, since a derived model must carry them."""


def is_companion(path: str, patterns: Iterable[str] = COMPANIONS) -> bool:
    """Whether a path below a snapshot's root matches; a licence file of a subfolder is another thing's licence."""
    # A `*` of fnmatch also matches a slash.
    return any(path.count("/") == pattern.count("/") and fnmatchcase(path, pattern) for pattern in patterns)


def copy_companions(source: Path, output: Path) -> list[str]:
    """Copy every companion that `source` has into `output`; return their paths, sorted."""
    copied = []
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and is_companion(name):
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, output / name)
            copied.append(name)
    return copied
