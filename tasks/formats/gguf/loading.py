"""Opens a new GGUF file once in llama.cpp, so that a file that no engine can load is refused where it was made.

llama.cpp's converter writes vocabularies and architectures that llama.cpp itself then rejects. llama-imatrix is there
for other targets; here it loads the file and runs it over a few tokens, and what it counts is thrown away.
"""

from pathlib import Path

from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import ToolFailed
from tasks.host.tools import run_tool

TEXT = " ".join(["one two three four five six seven eight nine ten"] * 20)
CHUNK = 16
"""Tokens that are run."""

TOO_SHORT = "you need at least"
"""What the tool says, after it has loaded the file, of a tokenizer by which TEXT has fewer than two chunks."""


def check_loads(made: Path, context: TaskContext) -> None:
    """Raise ToolFailed, with llama.cpp's own words, if llama.cpp cannot load `made` or crashes when it runs it."""
    text = context.scratch / "a few words.txt"
    text.write_text(TEXT, encoding="utf-8")
    context.progress("opening the file in llama.cpp")
    try:
        run_tool(
            [
                *(llama_cpp().bin / "llama-imatrix", "-m", made, "-f", text, "-o", context.scratch / "counted.gguf"),
                *("-c", str(CHUNK), "-b", str(CHUNK), "-t", str(context.threads), "--chunks", "1", "--no-ppl"),
            ],
            cwd=context.scratch,
            log=context.scratch / "loading.log",
            subject=f"{made.name} for the first time",
            remedy="llama.cpp cannot run what its converter made, so leave the gguf targets out of the recipe",
        )
    except ToolFailed as error:
        if TOO_SHORT not in str(error):
            raise
