"""How a person runs an artifact in llama.cpp, without MLflow."""

from collections.abc import Sequence

from tasks.engines.base import Usage


def usage(folder: str, files: Sequence[str], prompt: str) -> list[Usage]:
    """Return the lines for an artifact whose `files` lie in `folder`."""
    # llama.cpp finds the other shards beside the first.
    model = next(file for file in files if file.endswith(".gguf"))
    return [
        Usage(
            "llama.cpp, as an HTTP server",
            f"llama-server --model {folder}/{model} --port 8080\n"
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
