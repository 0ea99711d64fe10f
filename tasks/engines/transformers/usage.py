"""How a person runs an artifact in transformers, without MLflow."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.engines.base import Usage


def usage(folder: str, files: Sequence[str], facts: Mapping[str, Any], prompt: str, context: int | None) -> list[Usage]:
    """Return the lines for an artifact whose `files` lie in `folder`."""
    return [
        Usage(
            "transformers, from Python",
            "from transformers import pipeline\n\n"
            f'generate = pipeline("text-generation", "{folder}")\n'
            f'print(generate("{prompt}", max_new_tokens=64, do_sample=False)[0]["generated_text"])',
        )
    ]
