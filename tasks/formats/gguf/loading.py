"""Opens a new GGUF file once in llama.cpp, so that a file that no engine can load is refused where it was made.

llama.cpp's converter writes vocabularies and shapes that llama.cpp itself then rejects. The library is asked and not
one of its tools: a tool's log is written by a thread that its exit does not wait for, so the reason may be lost.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.formats.gguf.header import read_header
from tasks.host.tools import run_tool

SCRIPT = Path(__file__).with_name("open_gguf.py")


@dataclass(frozen=True)
class Loaded:
    """What llama.cpp says of a file.

    window: the tokens of the sliding window that it uses; 0 if it uses none.
    ends: the tokens at which it ends a text: their texts by their ids.
    """

    window: int
    ends: Mapping[int, str]


def check_loads(made: Path, context: TaskContext) -> Loaded:
    """Return what llama.cpp says of the file `made`.

    Raises ToolFailed, with llama.cpp's own words, if llama.cpp cannot load the file.
    """
    context.progress("opening the file in llama.cpp")
    answer = context.scratch / "loaded.json"
    packed = "as-stored" if read_header(made).latent_attention else "packed"
    run_tool(
        [sys.executable, SCRIPT, llama_cpp().lib / "libllama.so", made, answer, packed],
        cwd=context.scratch,
        log=context.scratch / "loading.log",
        # Otherwise the script's folder is searched first, and its inspect.py would hide Python's module. Without a
        # backtrace, llama.cpp's last words are the check that failed.
        env={"PYTHONSAFEPATH": "1", "GGML_NO_BACKTRACE": "1"},
        subject=made.name,
        remedy="llama.cpp cannot load what its converter made, so leave the gguf targets out of the recipe",
    )
    found = json.loads(answer.read_bytes())
    return Loaded(found["window"], {int(token): text for token, text in found["ends"].items()})
