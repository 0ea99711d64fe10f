"""Reads the facts of a GGUF artifact from its header, without an engine.

llama.cpp trusts its files and crashes on some malformed ones, so they are rejected here, before it loads them.
"""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.engines.llama_cpp.usage import TWO_SETS
from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.formats.gguf.ends import END_IDS
from tasks.formats.gguf.header import Header, read_header
from tasks.formats.gguf.stored_types import EMBEDDING, check_declared

SPECIAL_TOKENS = ("bos", "eos", "eot", "unknown", "padding")


def inspect(folder: Path) -> Mapping[str, Any]:
    """Return the facts of the GGUF file in `folder`. Raises Corrupt unless there is exactly one, and it is valid."""
    return facts_of(read_header(model_file(folder)))


def model_file(folder: Path) -> Path:
    """Return the GGUF file at the folder's root. Raises Corrupt unless there is exactly one."""
    found = sorted(folder.glob("*.gguf"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise Corrupt(f"A GGUF artifact must have one .gguf file at its root, but this one has {names}; {MAKE_AGAIN}.")
    return found[0]


def facts_of(header: Header) -> dict[str, Any]:
    """Return the facts in a header.

    `size_bytes` is the size of the whole file; `bits_per_weight` counts only the bytes of the tensors.
    `context_length` and `vocabulary_size` are in tokens.

    Raises Corrupt if the header has no architecture or no tensor, has numbers that no model can have, or declares
    another type than that of its tensors.
    """
    architecture = header.text("general.architecture")
    if architecture is None or not header.tensors:
        raise Corrupt(f"{header.path.name} has no architecture or no tensors; {MAKE_AGAIN}.")
    _check_tokens(header)
    _check_ends(header)
    _check_numbers(header, architecture)
    check_declared(header)
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
        "latent_attention": header.latent_attention,
        "recurrent": header.recurrent,
        "chat_template": header.text("tokenizer.chat_template") is not None,
        "bos": header.number("tokenizer.ggml.bos_token_id"),
        "eos": header.number("tokenizer.ggml.eos_token_id"),
        "add_bos": header.metadata.get("tokenizer.ggml.add_bos_token"),
    }


def _check_tokens(header: Header) -> None:
    """Raise Corrupt if the vocabulary and the embedding differ in size, or a special token is not in the vocabulary."""
    vocabulary = header.length("tokenizer.ggml.tokens")
    if vocabulary is None:
        return
    rows = [tensor.dimensions[-1] for tensor in header.tensors if tensor.name == EMBEDDING]
    if rows and rows[0] != vocabulary:
        raise _unusable(header, f"has {vocabulary} tokens, but {EMBEDDING} has {rows[0]} rows")
    for key in SPECIAL_TOKENS:
        token = header.number(f"tokenizer.ggml.{key}_token_id")
        if token is not None and not 0 <= token < vocabulary:
            raise _unusable(header, f"has the {key} token {token}, but only {vocabulary} tokens")


def _check_ends(header: Header) -> None:
    """Raise Corrupt if llama.cpp would end a text at a named token that our own field does not name."""
    stated = header.text(END_IDS)
    if stated is None:
        return
    for kind in ("eos", "eot", "eom"):
        token = header.number(f"tokenizer.ggml.{kind}_token_id")
        if token is not None and stated and str(token) not in stated.split(","):
            raise Corrupt(
                f"{header.path.name} has the {kind} token {token}, but {END_IDS} names {stated}; {MAKE_AGAIN}."
            )


def _check_numbers(header: Header, architecture: str) -> None:
    """Raise Corrupt for NaN and infinity, and for a context length or a rotary base that is not positive."""
    for key, value in header.metadata.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise _unusable(header, f"has the value {value} for {key!r}")
    for key in ("context_length", "rope.freq_base", "rope.scaling.factor"):
        number = header.number(f"{architecture}.{key}")
        # A factor of 0 means that positions are not scaled.
        if number is not None and (number < 0 or (number == 0 and not key.endswith("factor"))):
            raise _unusable(header, f"has the value {number} for {architecture}.{key}")


def _unusable(header: Header, fault: str) -> Corrupt:
    return Corrupt(f"{header.path.name} {fault}, which no engine can run; {MAKE_AGAIN}.")


def _rope(header: Header, architecture: str) -> dict[str, Any]:
    """Return the stored parameters of the rotary positions, without those that the file does not state."""
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
    if any(tensor.name == "rope_factors_long.weight" for tensor in header.tensors):
        facts["frequencies"] = TWO_SETS
    return facts
