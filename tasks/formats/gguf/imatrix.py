"""Makes the importance matrix with llama.cpp's llama-imatrix.

For every column of every weight matrix it contains the sum of the squared activations on the calibration text.
llama-quantize uses these sums to keep the important weights more exact.

The model runs in Q8_0, which takes less than half the time of F16, and half the memory. On SmolLM2-135M that changed
the importance of the middle column by 0.5 %. The text matters far more: the two halves of the demo's calibration text
differ by 6 % there.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.engines.llama_cpp.usage import NO_REPACK
from tasks.errors import Corrupt, ToolFailed, Unsupported
from tasks.formats.gguf.header import Header, TensorInfo, read_header
from tasks.formats.gguf.inspect import model_file
from tasks.formats.gguf.stored_types import quantizable
from tasks.formats.gguf.target import F16
from tasks.host.tools import run_tool

LONGEST_CHUNK = 512
"""Tokens in one chunk: llama-imatrix's own default. A model with a shorter context gets shorter chunks."""

RUN_AS = "Q8_0"
"""The type in which the model runs on the calibration text. Rows that its blocks do not fit stay F16."""

SUMS = ".in_sum2"
COUNTS = ".counts"


def make_imatrix(context: TaskContext) -> dict[str, Any]:
    """Write `<Name>-imatrix.gguf` from the F16 GGUF and the calibration text. Return its facts.

    Raises Unsupported if the calibration text is too short, or if the model's activations on it are not finite. Raises
    Corrupt if the text is empty or is not JSON lines.
    """
    base = model_file(context.materialize(F16))
    text = context.scratch / "calibration.txt"
    records = write_text(context.materialize("calibration") / "text.jsonl", text)
    name = base.name.removesuffix(".gguf").removesuffix("-F16")
    output = context.output / f"{name}-imatrix.gguf"
    source = read_header(base)
    chunk = min(LONGEST_CHUNK, int(_context_length(source)))
    # The tool needs two chunks. A token takes at least one byte, except BOS, which takes none: hence the margin of 2.
    # This is checked here because the tool's own message may be lost: its exit does not wait for its logging thread.
    if text.stat().st_size + 2 < 2 * chunk:
        raise _too_short(chunk)
    # Relative names, because llama-imatrix writes the names into its file.
    model = "model.gguf"
    context.progress(f"rounding to {RUN_AS} for the importance matrix", 0.0)
    run_tool(
        [llama_cpp().bin / "llama-quantize", base.resolve(), model, RUN_AS, str(context.threads)],
        cwd=context.scratch,
        log=context.scratch / "rounding.log",
        subject=base.name,
        remedy="set 'imatrix: false' for the targets that allow it",
    )
    progress = _Progress(context)
    try:
        run_tool(
            [
                *(llama_cpp().bin / "llama-imatrix", "-m", model, "-f", text.name, "-o", output),
                *("-c", str(chunk), "-b", str(chunk), "-t", str(context.threads), "--parse-special", "--no-ppl"),
                *([NO_REPACK] if source.latent_attention else []),
            ],
            cwd=context.scratch,
            log=context.scratch / "imatrix.log",
            on_line=progress,
            subject=f"{base.name} and the calibration text",
            remedy="use another calibration text, or set 'imatrix: false' for the targets that allow it",
        )
    except ToolFailed as error:
        if "you need at least" in str(error):
            raise _too_short(chunk) from error
        raise
    header = read_header(output)
    matrices = sum(tensor.name.endswith(SUMS) for tensor in header.tensors)
    if not matrices:
        raise ToolFailed("llama-imatrix wrote no statistics; use a longer calibration text in the recipe.")
    check_sums(header)
    return {
        "file": output.name,
        "size_bytes": output.stat().st_size,
        "matrices": matrices,
        "records": records,
        "chunk_tokens": chunk,
        "chunks": progress.chunks,
        "unreached_experts": unreached(header),
        "unreached_matrices": unreached_matrices(source, header),
    }


def _too_short(chunk: int) -> Unsupported:
    return Unsupported(
        f"The calibration text has fewer than {2 * chunk} tokens, too few for an importance matrix; "
        "use a longer calibration text in the recipe."
    )


def unreached(header: Header) -> int:
    """Return how many matrices no token of the text passed through. Each expert's matrix counts separately."""
    return sum(int((_numbers(header, tensor) == 0).sum()) for tensor in header.tensors if tensor.name.endswith(COUNTS))


def unreached_matrices(base: Header, header: Header) -> list[str]:
    """Return the names of the matrices that are multiplied with activations, but for which there are no sums at all."""
    held = {tensor.name.removesuffix(SUMS) for tensor in header.tensors if tensor.name.endswith(SUMS)}
    return [
        tensor.name
        for tensor in quantizable(base)
        # The tool leaves the output matrix out, and an embedding is only looked up.
        if tensor.name not in held and tensor.name != "output.weight" and "token_embd" not in tensor.name
    ]


def caveats(facts: Mapping[str, Any]) -> list[str]:
    """Return sentences for the report on what the importance matrix with these facts does not cover."""
    found = []
    if experts := facts.get("unreached_experts"):
        found.append(
            f"The calibration text never reached {experts} of the experts' matrices, which were rounded without regard "
            "to their importance; a longer or more varied calibration text reaches more."
        )
    if matrices := facts.get("unreached_matrices"):
        found.append(
            f"The importance matrix says nothing about {len(matrices)} matrices, the first {matrices[0]!r}; they were "
            "rounded without regard to their importance."
        )
    return found


def check_sums(header: Header) -> None:
    """Raise Unsupported for a sum of squares that is NaN, infinite or negative, or for a matrix with sums of only 0.

    llama-quantize takes them as they are, and rounds with useless weights.
    """
    counts = {t.name.removesuffix(COUNTS): _numbers(header, t) for t in header.tensors if t.name.endswith(COUNTS)}
    for tensor in header.tensors:
        if not tensor.name.endswith(SUMS):
            continue
        name, sums = tensor.name.removesuffix(SUMS), _numbers(header, tensor)
        fault = None
        if not np.isfinite(sums).all() or (sums < 0).any():
            fault = "has sums that are NaN, infinite or negative"
        elif not sums.any() and counts.get(name, np.ones(1)).any():
            fault = "has only sums of 0, although tokens reached it"
        if fault:
            raise Unsupported(
                f"{header.path.name}: {name!r} {fault}, so the model's activations on the calibration text are broken; "
                "check the source's weights, use another calibration text, or set 'imatrix: false' for this target."
            )


def _numbers(header: Header, tensor: TensorInfo) -> NDArray[np.float32]:
    return np.memmap(header.path, dtype="<f4", mode="r", offset=tensor.start, shape=(tensor.elements,))


def write_text(records: Path, destination: Path) -> int:
    """Write the texts of a JSON-lines file, separated by blank lines. Return their number. Raises Corrupt."""
    try:
        texts = [json.loads(line)["text"] for line in records.read_bytes().splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(
            f"{records.name}: every line must be JSON with a 'text' ({error!r}); fix the calibration text."
        ) from error
    if not texts:
        raise Corrupt(f"{records.name} contains no text; use another calibration text in the recipe.")
    destination.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return len(texts)


def _context_length(header: Header) -> int | float:
    length = header.number(f"{header.text('general.architecture')}.context_length")
    return length or LONGEST_CHUNK


class _Progress:
    """Reports progress: reads the number of chunks from the output of llama-imatrix."""

    def __init__(self, context: TaskContext) -> None:
        self.context, self.chunks = context, 0

    def __call__(self, line: str) -> None:
        total = re.search(r"computing over (\d+) chunks", line)
        if total:
            self.chunks = int(total[1])
            self.context.progress(f"computing the importance matrix over {self.chunks} chunks", 0.0)
