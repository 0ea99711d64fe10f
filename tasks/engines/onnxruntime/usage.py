"""How a person runs an artifact in onnxruntime, without MLflow."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.engines.base import Usage


def usage(folder: str, files: Sequence[str], facts: Mapping[str, Any], prompt: str, context: int | None) -> list[Usage]:
    """Return the lines for an artifact whose `files` lie in `folder`."""
    return [
        Usage(
            "onnxruntime, from Python (the loop over the KV cache comes with the files)",
            "import sys\n\n"
            f'sys.path.insert(0, "{folder}/code")\n'
            "from hallmark_onnx_serving import load\n\n"
            f'print(load("{folder}").complete("{prompt}", max_tokens=64))',
        )
    ]
