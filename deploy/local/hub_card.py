"""What the Hub tells of a model besides its files: the card's front matter, parameters by type, architecture."""

import json
import struct
from pathlib import Path
from typing import Any

import yaml

from deploy.local.hub_repository import Revision

_ELEMENT_BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "I64": 64,
    "I32": 32,
    "I16": 16,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
}


def front_matter(revision: Revision) -> dict[str, Any]:
    """The YAML table between the two `---` lines that open README.md; empty where there is none or it is no YAML."""
    card = revision.file("README.md")
    if card is None:
        return {}
    text = card.source.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return {}
    try:
        table = yaml.safe_load(text[4:].split("\n---", 1)[0])
    except yaml.YAMLError:
        return {}
    # Dates and the like become text, as they do in the Hub's JSON.
    return json.loads(json.dumps(table, default=str)) if isinstance(table, dict) else {}


def tags(card: dict[str, Any]) -> list[str]:
    """The Hub's tags of a card: its own, its library and task, and one for the licence."""
    named = [str(tag) for tag in card.get("tags") or []]
    for field in ("library_name", "pipeline_tag"):
        if card.get(field):
            named.append(str(card[field]))
    if card.get("license"):
        named.append(f"license:{card['license']}")
    return list(dict.fromkeys(named))


def config(revision: Revision) -> dict[str, Any]:
    """`architectures` and `model_type` of config.json, which is all that the Hub repeats of it."""
    file = revision.file("config.json")
    if file is None:
        return {}
    try:
        table = json.loads(file.source.read_bytes())
    except ValueError:
        return {}
    return {key: table[key] for key in ("architectures", "model_type", "auto_map") if key in table}


def parameters(revision: Revision) -> dict[str, Any] | None:
    """`{"parameters": {dtype: count}, "total": count}` from all safetensors headers; None where no file has one."""
    counts: dict[str, int] = {}
    for file in revision.files:
        if not file.path.endswith(".safetensors"):
            continue
        for tensor in _header(file.source).values():
            bits = _ELEMENT_BITS.get(tensor.get("dtype"), 8)
            start, end = tensor["data_offsets"]
            counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + (end - start) * 8 // bits
    return {"parameters": counts, "total": sum(counts.values())} if counts else None


def _header(path: Path) -> dict[str, Any]:
    """Tensors of a safetensors file; empty for a broken one: a mirror serves what it has, and its reader checks it."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            table = json.loads(file.read(size)) if size < 100 * 2**20 else {}
    except (struct.error, ValueError):
        return {}
    return {
        name: tensor
        for name, tensor in table.items()
        if name != "__metadata__" and isinstance(tensor, dict) and isinstance(tensor.get("data_offsets"), list)
    }
