"""How a person runs an artifact in llama.cpp, without MLflow.

llama-server puts BOS before chats as it does before texts. A source may open its texts with BOS, and write none before
its chats. The server then has two lines, one for texts and one for chats.

llama-server also gives a chat template variables that the source leaves undefined. The lines set them to the values
with which the template renders the same chats.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.engines.base import Usage
from tasks.engines.mlmodel import EXAMPLE_QUESTION

NO_BOS = " --override-kv tokenizer.ggml.add_bos_token=bool:false"
"""The option with which llama.cpp puts nothing before a text, whatever the file says."""

NO_REPACK = "--no-repack"
"""The option with which llama.cpp runs weights as the file has them. Otherwise it packs them for some processors. If
they are packed for AMX and the model has latent attention, a failed assertion ends it (*cur_backend_id != -1)."""

ONE_AT_A_TIME = "--parallel 1"
"""The option with which llama-server answers one request after the other. llama.cpp 0.3.36 gives wrong tokens to all
sequences but one if it decodes several together and the model has recurrent layers: seen on an Intel processor, and not
on an AMD one; see batch.py."""

THINKING = {True: " --reasoning on", False: " --reasoning off"}
"""The option that sets `enable_thinking` for the chat template. Without it, llama-server guesses a value. The source
leaves the variable undefined; the fact `chats_think` says which value its template takes for that."""

NO_THOUGHTS = " --no-reasoning-preserve"
"""The option with which llama-server does not tell the chat template to keep the thoughts of earlier turns."""

CONTEXT_STEP = 256
"""llama.cpp rounds the size of a context up to a multiple of so many tokens."""

OPTION_FACTS = ("add_bos", "chats_open", "chats_think", "chats_keep_thoughts", "latent_attention", "recurrent")
"""The facts of a file that `options` and `has_bare_chats` read."""

TWO_SETS = "one set up to the original context length, one beyond it"
"""The fact `rope.frequencies` of a file with two sets of rotary factors."""


def usage(folder: str, files: Sequence[str], facts: Mapping[str, Any], prompt: str, context: int | None) -> list[Usage]:
    """Return the lines for an artifact whose `files` lie in `folder`.

    context: the server's context in tokens; None for the whole context of the file.
    """
    # llama.cpp finds the other shards beside the first.
    model = next(file for file in files if file.endswith(".gguf"))
    size, limit = _context_size(facts, context)
    context_size = f" --ctx-size {size}" if size else ""
    latent = facts.get("latent_attention") is True
    serve = f"llama-server --model {folder}/{model}{context_size}{options(facts)}"
    bare_chats = has_bare_chats(facts)
    return [
        Usage(
            f"llama.cpp, as an HTTP server{' for texts' if bare_chats else ''}{limit}",
            f"{serve} --port 8080\n"
            "curl -s 127.0.0.1:8080/completion -H 'Content-Type: application/json' \\\n"
            f'  -d \'{{"prompt": "{prompt}", "n_predict": 64, "temperature": 0}}\'',
        ),
        *([_chats(serve, limit)] if bare_chats else []),
        Usage(
            # The bindings' own class has no such option.
            f"llama.cpp, from Python{', on a processor without AMX' if latent else ''}",
            # As it was measured and as llama-server runs it; the bindings' default rounds otherwise.
            "from llama_cpp import Llama\n\n"
            f'model = Llama("{folder}/{model}", flash_attn=True)\n'
            f'print(model("{prompt}", max_tokens=64, temperature=0)["choices"][0]["text"])',
        ),
    ]


def options(facts: Mapping[str, Any]) -> str:
    """Return the options of every line of llama-server for a file with these facts, each with a space before it."""
    found = f" {NO_REPACK}" if facts.get("latent_attention") is True else ""
    found += f" {ONE_AT_A_TIME}" if facts.get("recurrent") is True else ""
    think = facts.get("chats_think")
    found += THINKING[think] if isinstance(think, bool) else ""
    return found + (NO_THOUGHTS if facts.get("chats_keep_thoughts") is False else "")


def has_bare_chats(facts: Mapping[str, Any]) -> bool:
    """Whether BOS stands before texts and not before chats, so that a server for chats needs the option NO_BOS."""
    return facts.get("add_bos") is True and facts.get("chats_open") is False


def _chats(serve: str, limit: str) -> Usage:
    """Return the line of a server for chats alone. serve: the line of one for texts, without its port."""
    messages = f'[{{"role": "user", "content": "{EXAMPLE_QUESTION}"}}]'
    return Usage(
        f"llama.cpp, as an HTTP server for chats, before which the source puts no BOS{limit}",
        f"{serve}{NO_BOS} --port 8080\n"
        "curl -s 127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"messages": {messages}, "max_tokens": 64, "temperature": 0}}\'',
    )


def _context_size(facts: Mapping[str, Any], context: int | None) -> tuple[int | None, str]:
    """Return the context with which the server is started, None for the file's own, and what the title says of it."""
    rope, whole = facts.get("rope", {}), facts.get("context_length")
    original = rope.get("original_context_length", 0) if rope.get("frequencies") == TWO_SETS else 0
    if original >= CONTEXT_STEP and (context is None or original <= context):
        # llama.cpp takes the factors by the size of the context, for short texts, too.
        size = _whole_steps(original)
        return size, f" (for texts up to {size} tokens; only a larger --ctx-size is right for longer ones)"
    if context is not None and whole is not None and CONTEXT_STEP <= context < whole:
        size = _whole_steps(context)
        return size, f" (up to {size} tokens, as it was compared with the source; the file allows {whole})"
    return None, ""


def _whole_steps(tokens: int) -> int:
    """Round down, because llama.cpp rounds up. No context is smaller than one step."""
    return tokens // CONTEXT_STEP * CONTEXT_STEP
