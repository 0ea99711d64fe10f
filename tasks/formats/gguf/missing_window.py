"""Limits the context of a file whose engine reads the model without its attention windows.

llama.cpp has no sliding window for many architectures: for Mistral and StarCoder2 none is written, and for Phi-3 it is
switched off. Up to the size of the window the arithmetic is the same. Beyond it, each token would see more than in the
source. llama.cpp itself says which window it uses, so there is no list of architectures that gets old.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.evaluation.caveats import Caveat
from tasks.formats.gguf.header import read_header
from tasks.host.tools import run_tool

ASKED_IN_VAIN = {"deepseek4"}
"""Architectures with a window of which llama.cpp says 0 on purpose (src/llama-model.cpp)."""

SET_METADATA = Path("gguf-py", "gguf", "scripts", "gguf_set_metadata.py")
"""llama.cpp's own tool for one number of a file's metadata; in its sources."""


@dataclass(frozen=True)
class Limit:
    """The context length in tokens that was written, and the reason."""

    tokens: int
    caveat: Caveat


def limit_context(made: Path, windows: Sequence[int], engine_window: int, context: TaskContext) -> Limit | None:
    """Write the shortest window of the model as the context length of the file `made`, if llama.cpp uses no window.

    windows: the sizes of the source's attention windows that are shorter than its context, ascending, in tokens.
    engine_window: the window that llama.cpp uses; 0 for none.

    Returns what was written; None if the file was left as it is.
    """
    if engine_window or not windows:
        return None
    header = read_header(made)
    architecture = header.text("general.architecture")
    if architecture in ASKED_IN_VAIN:
        return None
    window, key = windows[0], f"{architecture}.context_length"
    length = header.number(key)
    if length is None or length <= window:
        return None
    tree = llama_cpp().tree
    run_tool(
        [sys.executable, tree / SET_METADATA, "--force", made, key, str(window)],
        cwd=context.scratch,
        log=context.scratch / "metadata.log",
        subject=made.name,
        remedy="leave the gguf targets out of the recipe for this model",
    )
    text = (
        f"llama.cpp runs this architecture without its attention window of {window} tokens, so the file's context ends "
        f"there, and the source's at {length}"
    )
    return Limit(window, Caveat(text=text))
