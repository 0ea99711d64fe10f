"""Selects the files of a repository to fetch: one set of weights, and the files that travel with it."""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.checkpoint.companions import COMPANIONS, NOTICES, TOKENIZER, WEIGHTS, is_companion, may_be_prose
from tasks.errors import Corrupt, NotFound, Refused
from tasks.source.hub import HubFile, HubRepository, check_path
from tasks.source.no_weights import SHARD, no_weights

TAKEN = (*COMPANIONS, "README.md")
"""The files that are fetched besides the weights."""

SETTINGS_BYTES = 10 * 1024**2
"""The largest configuration or template, in bytes. The Hub itself treats larger files as binary."""

VOCABULARIES = (*TOKENIZER, "*.index.json")
VOCABULARY_BYTES = 100 * 1024**2
"""The largest tokenizer file, index or licence, in bytes: three times the largest in use (33 MB for 262,000 tokens).

A tokenizer_config.json lists every added token. Speech models have 65,000 of them, in 12 MB.
"""

LAYOUTS: Sequence[tuple[str, Literal["safetensors", "pytorch"]]] = (
    ("model.safetensors", "safetensors"),
    ("pytorch_model.bin", "pytorch"),
)
"""The conventional names of weights, the preferred first: a single file, or NAME.index.json and its shards."""

ADAPTER = "adapter_config.json"
"""By this file, transformers finds an adapter beside the weights of a model."""


@dataclass(frozen=True)
class Weights:
    """The set of weights to fetch: a single file, or an index, whose content names the shards."""

    format: Literal["safetensors", "pytorch"]
    file: HubFile
    sharded: bool


def find_weights(repository: HubRepository) -> Weights:
    """Return the weights to fetch, preferably safetensors; raises NotFound, or Unsupported with what is there."""
    for name, kind in LAYOUTS:
        for path, sharded in ((name, False), (f"{name}.index.json", True)):
            if file := repository.file(path):
                if sharded:
                    check_size(repository, file)
                return Weights(kind, file, sharded)
    raise no_weights(repository)


def find_left_out(repository: HubRepository, weights: Weights) -> tuple[str, ...]:
    """Return a sentence for each other thing that a library may take for the weights, or add to them."""
    others = [
        path for name, _ in LAYOUTS for path in (name, f"{name}.index.json")
        if path != weights.file.path and repository.file(path)
    ]  # fmt: skip
    found = []
    if repository.file(ADAPTER):
        found.append(
            f"{repository.name} also has an adapter ({ADAPTER}), which the release leaves out, while transformers "
            f"loads it; if {weights.file.path} does not contain it, merge it and release the result."
        )
    if others:
        found.append(
            f"{repository.name} has several sets of weights; the release takes {weights.file.path} and leaves out "
            f"{', '.join(others)}."
        )
    return tuple(found)


def find_config(repository: HubRepository) -> HubFile:
    """Return config.json; raises NotFound where there is none."""
    if (file := repository.file("config.json")) is None:
        raise NotFound(
            f"{repository.name} has no config.json at {repository.commit}; it must be in transformers' layout."
        )
    return file


def find_companions(repository: HubRepository, with_code: bool = False) -> list[HubFile]:
    """Return the files to fetch besides the weights; `with_code` includes the repository's Python modules."""
    find_config(repository)
    patterns = (*TAKEN, "*.py") if with_code else TAKEN
    linked = linked_licence(repository)
    found = [file for file in repository.files if is_companion(file.path, patterns) or file.path == linked]
    found = _without_surplus_notices(found, repository.licence_file)
    for file in found:
        check_size(repository, file)
    return found


def linked_licence(repository: HubRepository) -> str | None:
    """Return the path that only the card's `license_link` makes a licence; None for weights, code and data."""
    path = repository.licence_file
    return path if path and may_be_prose(path) and not is_companion(path) else None


def _without_surplus_notices(files: Sequence[HubFile], linked: str | None) -> list[HubFile]:
    """Leave out data that is named like a notice, below a folder and too large, and of LICENSE and license the second.

    The second is left out if it has the same bytes, or if the card names the first (`linked`); otherwise both are kept,
    and `check_names` refuses them.
    """
    kept: set[str] = set()
    names: dict[str, HubFile] = {}
    for file in sorted(files, key=lambda file: (file.path != linked, file.path)):
        if is_companion(file.path, NOTICES):
            large = "/" in file.path and file.size > SETTINGS_BYTES
            first = names.setdefault(_one_name(file.path), file)
            again = first is not file and (first.path == linked or first.digest == file.digest)
            if file.path != linked and (large or again):
                continue
        kept.add(file.path)
    return [file for file in files if file.path in kept]


def check_size(repository: HubRepository, file: HubFile) -> None:
    """Raise Refused for a file that later tasks read into memory as a whole and that is too large for that."""
    most = VOCABULARY_BYTES if is_companion(file.path, (*VOCABULARIES, *NOTICES)) else SETTINGS_BYTES
    if file.size > most:
        raise Refused(
            f"{file.path} of {repository.name} has {file.size} bytes, more than the limit of {most} for such a file; "
            "do not use this repository."
        )


def check_names(repository: HubRepository, files: Sequence[HubFile]) -> None:
    """Raise Corrupt for two names that some file systems take for one (case, accents), and for invisible characters."""
    seen: dict[str, str] = {}
    for file in files:
        if not file.path.isprintable():
            raise Corrupt(
                f"{repository.name} has {file.path!r}, a name with invisible characters; "
                "ask the publisher to rename it."
            )
        other = seen.setdefault(_one_name(file.path), file.path)
        if other != file.path:
            raise Corrupt(
                f"{repository.name} has {other} and {file.path}, which some disks take for one name; "
                "ask the publisher to rename one."
            )


def _one_name(path: str) -> str:
    """The name as the least particular file system takes it."""
    return unicodedata.normalize("NFKC", path).casefold()


def find_shards(repository: HubRepository, index: HubFile, content: bytes) -> list[HubFile]:
    """Return the shards that an index names; raises Corrupt for one that is missing or lies outside the repository."""
    where = f"{index.path} of {repository.name}"
    try:
        weight_map = json.loads(content)["weight_map"]
        names = sorted({str(name) for name in weight_map.values()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"{where} has no 'weight_map'; ask the publisher to fix it.") from error
    shards = []
    for name in names:
        check_path(where, name)
        if "/" in name:
            raise Corrupt(f"{where} names {name}, which is not in its own folder; ask the publisher to fix it.")
        if not is_companion(name, WEIGHTS):
            raise Corrupt(
                f"{where} names {name!r}, and a file of weights ends in .safetensors or .bin; "
                "ask the publisher to rename it."
            )
        shard = repository.file(name)
        if shard is None:
            raise Corrupt(f"{where} names {name}, which is missing; ask the publisher to fix it.")
        shards.append(shard)
    if not shards:
        raise Corrupt(f"{where} names no shard; ask the publisher to fix it.")
    return shards


def estimate_weight_bytes(repository: HubRepository, weights: Weights) -> int:
    """Return the bytes of the weights. Shards are recognized by their conventional names, without reading the index."""
    if not weights.sharded:
        return weights.file.size
    suffix = ".safetensors" if weights.format == "safetensors" else ".bin"
    return sum(file.size for file in repository.files if file.path.endswith(suffix) and SHARD.fullmatch(file.path))
