"""Makes the importance matrix: how much each input of each matrix weighs on the calibration text."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import Corrupt, ToolFailed, Unsupported
from tasks.formats.gguf.header import Header, read_header
from tasks.formats.gguf.inspect import model_file
from tasks.formats.gguf.target import F16
from tasks.host.tools import run_tool

LONGEST_CHUNK = 512
"""Tokens looked at together, as by llama-imatrix's own default; less where the model's context is shorter."""

SUMS = ".in_sum2"
COUNTS = ".counts"


def make_imatrix(context: TaskContext) -> dict[str, Any]:
    """Compute `<Name>-imatrix.gguf` from the F16 GGUF and the calibration text; returns its facts.

    Raises Unsupported where the text is too short, Corrupt where it holds none.
    """
    base = model_file(context.materialize(F16))
    text = context.scratch / "calibration.txt"
    records = write_text(context.materialize("calibration") / "text.jsonl", text)
    # Relative names: the tool writes them into its file.
    (context.scratch / "model.gguf").symlink_to(base.resolve())
    name = base.name.removesuffix(".gguf").removesuffix("-F16")
    output = context.output / f"{name}-imatrix.gguf"
    chunk = min(LONGEST_CHUNK, int(_context_length(base)))
    # Only the token before the text is shorter than a byte. The tool's own message may be lost: it writes its log in a
    # thread that its exit does not wait for.
    if text.stat().st_size + 2 < 2 * chunk:
        raise _too_short(chunk)
    progress = _Progress(context)
    try:
        run_tool(
            [
                *(llama_cpp().bin / "llama-imatrix", "-m", "model.gguf", "-f", text.name, "-o", output),
                *("-c", str(chunk), "-b", str(chunk), "-t", str(context.threads), "--parse-special", "--no-ppl"),
            ],
            cwd=context.scratch,
            log=context.scratch / "imatrix.log",
            on_line=progress,
        )
    except ToolFailed as error:
        if "you need at least" in str(error):
            raise _too_short(chunk) from error
        raise
    header = read_header(output)
    matrices = sum(tensor.name.endswith(SUMS) for tensor in header.tensors)
    if not matrices:
        raise ToolFailed("llama-imatrix wrote no statistics; give the recipe a longer calibration text.")
    return {
        "file": output.name,
        "size_bytes": output.stat().st_size,
        "matrices": matrices,
        "records": records,
        "chunk_tokens": chunk,
        "chunks": progress.chunks,
        "unreached_experts": unreached(header),
    }


def _too_short(chunk: int) -> Unsupported:
    return Unsupported(
        f"The calibration text is shorter than {2 * chunk} tokens, too short for an importance matrix; "
        "give the recipe a longer one."
    )


def unreached(header: Header) -> int:
    """Return how many matrices, each expert's counted, no token of the text went through."""
    counts = [
        np.memmap(header.path, dtype="<f4", mode="r", offset=tensor.start, shape=(tensor.elements,))
        for tensor in header.tensors
        if tensor.name.endswith(COUNTS)
    ]
    return sum(int((count == 0).sum()) for count in counts)


def write_text(records: Path, destination: Path) -> int:
    """Write the texts of a JSON-lines file, a blank line between them; returns how many. Raises Corrupt."""
    try:
        texts = [json.loads(line)["text"] for line in records.read_bytes().splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(
            f"{records.name}: every line must be JSON with a 'text' ({error!r}); mend the calibration text."
        ) from error
    if not texts:
        raise Corrupt(f"{records.name} holds no text; give the recipe a calibration text.")
    destination.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return len(texts)


def _context_length(base: Path) -> int | float:
    header = read_header(base)
    length = header.number(f"{header.text('general.architecture')}.context_length")
    return length or LONGEST_CHUNK


class _Progress:
    """Reads llama-imatrix's lines: how many chunks there are, and how many are done."""

    def __init__(self, context: TaskContext) -> None:
        self.context, self.chunks = context, 0

    def __call__(self, line: str) -> None:
        total = re.search(r"computing over (\d+) chunks", line)
        if total:
            self.chunks = int(total[1])
            self.context.progress(f"computing the importance matrix over {self.chunks} chunks", 0.0)
