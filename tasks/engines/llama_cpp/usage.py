"""How a person runs an artifact in llama.cpp, without MLflow."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.engines.base import Usage

CONTEXT_STEP = 256
"""llama.cpp rounds the size of a context up to a multiple of so many tokens."""

TWO_SETS = "one set up to the original context length, one beyond it"
"""The fact `rope.frequencies` of a file with two sets of rotary factors."""


def usage(folder: str, files: Sequence[str], facts: Mapping[str, Any], prompt: str) -> list[Usage]:
    """Return the lines for an artifact whose `files` lie in `folder`."""
    # llama.cpp finds the other shards beside the first.
    model = next(file for file in files if file.endswith(".gguf"))
    context = limit = ""
    rope = facts.get("rope", {})
    # No context is as small as an original length below one step.
    if rope.get("frequencies") == TWO_SETS and rope["original_context_length"] >= CONTEXT_STEP:
        # llama.cpp takes the factors by the size of the context, for short texts, too.
        original = rope["original_context_length"] // CONTEXT_STEP * CONTEXT_STEP
        context = f" --ctx-size {original}"
        limit = f" (for texts up to {original} tokens; only a larger --ctx-size is right for longer ones)"
    return [
        Usage(
            f"llama.cpp, as an HTTP server{limit}",
            f"llama-server --model {folder}/{model}{context} --port 8080\n"
            "curl -s 127.0.0.1:8080/completion -H 'Content-Type: application/json' \\\n"
            f'  -d \'{{"prompt": "{prompt}", "n_predict": 64, "temperature": 0}}\'',
        ),
        Usage(
            "llama.cpp, from Python",
            # As it was measured and as llama-server runs it; the bindings' default rounds otherwise.
            "from llama_cpp import Llama\n\n"
            f'model = Llama("{folder}/{model}", flash_attn=True)\n'
            f'print(model("{prompt}", max_tokens=64, temperature=0)["choices"][0]["text"])',
        ),
    ]
