"""Keeps graphs that were exported before: an export takes seconds, and many changes leave the model as it is."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Export = Callable[[Any, Path, bool], None]


def exported_before(folder: Path, export: Export) -> Export:
    """Return `export` with a memory in `folder`: one graph for each configuration with its weights."""

    def remembering(wrapped: Any, path: Path, external_data: bool) -> None:
        known = folder / f"{_digest(wrapped.model)}.onnx"
        if not known.exists():
            export(wrapped, path, external_data)
            os.link(path, known)
        else:
            os.link(known, path)

    return remembering


def _digest(model: Any) -> str:
    config = {name: value for name, value in model.config.to_dict().items() if name != "_name_or_path"}
    found = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()
