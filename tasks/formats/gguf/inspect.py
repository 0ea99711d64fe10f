"""Facts of a GGUF artifact, from its header alone."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import Corrupt
from tasks.formats.gguf.header import Header, read_header

EMBEDDING = "token_embd.weight"
SPECIAL_TOKENS = ("bos", "eos", "eot", "unknown", "padding")


def inspect(folder: Path) -> Mapping[str, Any]:
    """Return facts of the one GGUF file in `folder`; raises Corrupt where there is none, several, or a broken one."""
    return facts_of(read_header(model_file(folder)))


def model_file(folder: Path) -> Path:
    """Return the one GGUF file at the folder's root; raises Corrupt where there is none or are several."""
    found = sorted(folder.glob("*.gguf"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise Corrupt(f"A GGUF artifact has one .gguf file at its root, and this one has {names}; convert it again.")
    return found[0]


def facts_of(header: Header) -> dict[str, Any]:
    """Return what a header says of the model; raises Corrupt where it names no architecture or holds no tensor.

    `bits_per_weight` counts the tensors' bytes only; `size_bytes` is the whole file. Lengths are in tokens.
    """
    architecture = header.text("general.architecture")
    if architecture is None or not header.tensors:
        raise Corrupt(f"{header.path.name} names no architecture or holds no tensor; convert the model again.")
    _check_tokens(header)
    _check_numbers(header, architecture)
    parameters = sum(tensor.elements for tensor in header.tensors)
    data = sum(tensor.bytes for tensor in header.tensors)
    return {
        "file": header.path.name,
        "size_bytes": header.size,
        "architecture": architecture,
        "parameters": parameters,
        "bits_per_weight": round(data * 8 / parameters, 4),
        "tensor_types": dict(sorted(Counter(tensor.type.name for tensor in header.tensors).items())),
        "context_length": header.number(f"{architecture}.context_length"),
        "vocabulary_size": header.length("tokenizer.ggml.tokens"),
        "tokenizer": header.text("tokenizer.ggml.model"),
        "pre_tokenizer": {"name": header.text("tokenizer.ggml.pre")},
        "rope": _rope(header, architecture),
        "chat_template": header.text("tokenizer.chat_template") is not None,
        "bos": header.number("tokenizer.ggml.bos_token_id"),
        "eos": header.number("tokenizer.ggml.eos_token_id"),
        "add_bos": header.metadata.get("tokenizer.ggml.add_bos_token"),
    }


def _check_tokens(header: Header) -> None:
    """Raise Corrupt where the vocabulary is not as long as the embedding, or a special token lies outside of it."""
    vocabulary = header.length("tokenizer.ggml.tokens")
    if vocabulary is None:
        return
    rows = [tensor.dimensions[-1] for tensor in header.tensors if tensor.name == EMBEDDING]
    if rows and rows[0] != vocabulary:
        raise _altered(header, f"has {vocabulary} tokens, and {EMBEDDING} has {rows[0]} rows")
    for key in SPECIAL_TOKENS:
        token = header.number(f"tokenizer.ggml.{key}_token_id")
        if token is not None and not 0 <= token < vocabulary:
            raise _altered(header, f"says that {key} is the token {token}, and it has {vocabulary} tokens")


def _check_numbers(header: Header, architecture: str) -> None:
    """Raise Corrupt for a number that is none, and for a context or a rotary base that no model has."""
    for key, value in header.metadata.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise _altered(header, f"says that {key!r} is {value}")
    for key in ("context_length", "rope.freq_base", "rope.scaling.factor"):
        number = header.number(f"{architecture}.{key}")
        # A factor of 0 says that positions are not scaled.
        if number is not None and (number < 0 or (number == 0 and not key.endswith("factor"))):
            raise _altered(header, f"says that {architecture}.{key} is {number}")


def _altered(header: Header, fault: str) -> Corrupt:
    return Corrupt(f"{header.path.name} {fault}; it was altered, so convert the model again.")


def _rope(header: Header, architecture: str) -> dict[str, Any]:
    """Rotary positions as stored; a key that the file leaves to the engine's default is left out."""
    keys = {
        "theta": "rope.freq_base",
        "dimensions": "rope.dimension_count",
        "scaling": "rope.scaling.type",
        "factor": "rope.scaling.factor",
        "original_context_length": "rope.scaling.original_context_length",
    }
    values = {name: header.metadata.get(f"{architecture}.{key}") for name, key in keys.items()}
    facts = {name: value for name, value in values.items() if value is not None}
    if any(tensor.name == "rope_freqs.weight" for tensor in header.tensors):
        facts["frequencies"] = "per dimension"
    return facts
