"""Facts of a GGUF artifact, from its header alone."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import Corrupt
from tasks.formats.gguf.header import Header, read_header


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
