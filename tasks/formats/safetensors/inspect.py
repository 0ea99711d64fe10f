"""Reads the facts of a safetensors artifact from its headers and its configurations.

It reads no weights and needs only the standard library. An engine trusts its files, so a malformed artifact must be
rejected here, before the engine loads it.
"""

import json
import reprlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.checkpoint.headers import read_header, read_index
from tasks.checkpoint.model_config import CONFIG, GENERATION
from tasks.engines.transformers.usage import NOT_GREEDY, not_greedy
from tasks.errors import MAKE_AGAIN, Corrupt


def inspect(folder: Path) -> Mapping[str, Any]:
    """Return `files` (names), `tensors` and `elements` (counts), and `dtypes` (dtype to number of tensors).

    If the configurations have fields by which greedy text in transformers is another, `not_greedy` names them.
    Raises Corrupt for malformed headers, an index that disagrees with its files, floats other than bf16, weights that
    are mostly integers, or a config.json whose dtype is not bfloat16.
    """
    files = sorted(set(read_index(folder).values()))
    dtypes: Counter[str] = Counter()
    elements = rounded = 0
    for file_name in files:
        for name, entry in read_header(folder / file_name).tensors.items():
            dtypes[entry.dtype] += 1
            elements += entry.elements
            rounded += entry.elements if entry.dtype == "BF16" else 0
            if entry.dtype in ("F16", "F32", "F64") or entry.dtype.startswith(("F4", "F6", "F8")):
                raise Corrupt(f"{file_name}: tensor {name!r} is {entry.dtype}, not BF16; {MAKE_AGAIN}.")
    if 2 * rounded <= elements:
        raise Corrupt(
            f"Only {rounded} of the {elements} numbers in the weights are BF16, so this is no model in bf16; "
            f"{MAKE_AGAIN}."
        )
    config = _read_json(folder, CONFIG)
    said = config.get("dtype", config.get("torch_dtype"))
    if said != "bfloat16":
        raise Corrupt(f"config.json says that the weights are {reprlib.repr(said)}, not 'bfloat16'; {MAKE_AGAIN}.")
    tensors = sum(dtypes.values())
    # Without the file, transformers looks for these fields in config.json.
    fields = not_greedy(_read_json(folder, GENERATION) if (folder / GENERATION).exists() else config)
    return {
        "files": files,
        "tensors": tensors,
        "elements": elements,
        "dtypes": dict(sorted(dtypes.items())),
        **({NOT_GREEDY: fields} if fields else {}),
    }


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Corrupt(f"The artifact has no readable {name} ({error}); {MAKE_AGAIN}.") from error
    if not isinstance(content, dict):
        raise Corrupt(f"The artifact's {name} is not a JSON object; {MAKE_AGAIN}.")
    return content
