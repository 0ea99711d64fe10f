"""Variants of the demo model: other weights for each round, so that nothing is done yet; wide ones for large files."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from deploy.local.demo import DEMO_MODEL
from tasks.settings import REPOSITORY

CHANGED_WEIGHTS = 256
WIDE = 24_576
"""Neurons of a wide layer: the F16 file has 79 MB, and the store sends what exceeds 64 MiB in parts."""


def write_variant(folder: Path, seed: str, wide: bool) -> Path:
    """Write the demo model with some of its weights changed, and with layers of WIDE neurons if asked, to a folder."""
    shutil.copytree(REPOSITORY / "deploy" / "demo" / "hub" / DEMO_MODEL, folder)
    weights = folder / "model.safetensors"
    raw = weights.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + size]), bytearray(raw[8 + size :])
    draw = random.Random(seed)
    for place in draw.sample(range(len(data) // 2), CHANGED_WEIGHTS):
        # bfloat16, little-endian: the highest bits of the fraction are in the first byte; no exponent is touched.
        data[2 * place] ^= draw.randrange(0x20, 0x80)
    weights.write_bytes(_written(_widened(header, bytes(data), folder) if wide else (header, bytes(data))))
    return folder


def _widened(header: dict[str, Any], data: bytes, folder: Path) -> tuple[dict[str, Any], bytes]:
    """Give every layer further neurons whose weights are zero: it says what it said before."""
    config = json.loads((folder / "config.json").read_text())
    narrow = config["intermediate_size"]
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": WIDE}))
    made: dict[str, Any] = {"__metadata__": header.pop("__metadata__")}
    parts: list[bytes] = []
    at = 0
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        rows, *columns = tensor["shape"]
        content = data[begin:end]
        if "up_proj" in name or "gate_proj" in name:
            content += bytes((WIDE - rows) * columns[0] * 2)
            rows = WIDE
        elif "down_proj" in name:
            padding = bytes((WIDE - narrow) * 2)
            content = b"".join(content[row * narrow * 2 : (row + 1) * narrow * 2] + padding for row in range(rows))
            columns = [WIDE]
        made[name] = {**tensor, "shape": [rows, *columns], "data_offsets": [at, at + len(content)]}
        at += len(content)
        parts.append(content)
    return made, b"".join(parts)


def _written(checkpoint: tuple[Any, bytes]) -> bytes:
    header = json.dumps(checkpoint[0]).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + checkpoint[1]
